import { HealthAlarmKind as Kind } from "../proto/lathe/v1/result";
import { HealthPolicy } from "../proto/lathe/v1/spec";
import { type Fault, type HealthPolicyField, enumWord, snakeCase } from "./bounds";

const {
  HEALTH_POLICY_REPORT: REPORT,
  HEALTH_POLICY_PAUSE: PAUSE,
  HEALTH_POLICY_FAIL: FAIL,
  HEALTH_POLICY_STOP: STOP,
} = HealthPolicy;

interface PolicyField {
  field: HealthPolicyField;
  initial: HealthPolicy;
  allowed: readonly HealthPolicy[];
  /** Reason why other policies are refused. */
  why: string;
}

const row = (
  field: HealthPolicyField,
  initial: HealthPolicy,
  allowed: readonly HealthPolicy[],
  why: string,
): PolicyField => ({ field, initial, allowed, why });

const ill = "the network of such a supernet is useless";

/** Policies by kind of alarm: the field in the spec, the default, and the allowed policies. */
const POLICIES = new Map<Kind, PolicyField>([
  [
    Kind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE,
    row("onLossNotFinite", FAIL, [PAUSE, FAIL], "no step can follow a loss that is not finite"),
  ],
  [
    Kind.HEALTH_ALARM_KIND_GRADIENT_NORM,
    row("onGradientNorm", REPORT, [REPORT, PAUSE, FAIL], "one large step ends no search"),
  ],
  [Kind.HEALTH_ALARM_KIND_TRIVIAL_PREDICTOR, row("onTrivialPredictor", REPORT, [REPORT, PAUSE, FAIL], ill)],
  [Kind.HEALTH_ALARM_KIND_MIOU_DROP, row("onMiouDrop", REPORT, [REPORT, PAUSE, FAIL, STOP], "")],
  [Kind.HEALTH_ALARM_KIND_OPERATION_DOMINANCE, row("onOperationDominance", REPORT, [REPORT, PAUSE, FAIL, STOP], "")],
  [Kind.HEALTH_ALARM_KIND_SCALE_DOMINANCE, row("onScaleDominance", REPORT, [REPORT, PAUSE, FAIL, STOP], "")],
  [Kind.HEALTH_ALARM_KIND_LATE_ENTROPY, row("onLateEntropy", REPORT, [REPORT, PAUSE, FAIL, STOP], "")],
  [Kind.HEALTH_ALARM_KIND_CAPACITY_GONE, row("onCapacityGone", REPORT, [REPORT, PAUSE, FAIL], ill)],
  [
    Kind.HEALTH_ALARM_KIND_PLATEAU,
    row("onPlateau", STOP, [REPORT, PAUSE, STOP], "a search that no longer improves has not failed"),
  ],
]);

/** Policy of a kind of alarm; report if the spec, of an older version, has none. */
export function policyOf(health: Record<HealthPolicyField, HealthPolicy>, kind: Kind): HealthPolicy {
  const field = POLICIES.get(kind)?.field;
  return (field && health[field]) || REPORT;
}

/** The default policies. */
export function defaultPolicies(): Record<HealthPolicyField, HealthPolicy> {
  return Object.fromEntries([...POLICIES.values()].map(({ field, initial }) => [field, initial])) as Record<
    HealthPolicyField,
    HealthPolicy
  >;
}

/** Fills in unset policies, and records a fault for each policy that its kind does not allow. */
export function resolvePolicies(health: Record<HealthPolicyField, HealthPolicy>, fault: Fault): void {
  for (const { field, initial, allowed, why } of POLICIES.values()) {
    const policy = (health[field] ||= initial);
    if (allowed.includes(policy)) continue;
    const known = [REPORT, PAUSE, FAIL, STOP].includes(policy);
    fault(
      `health.${snakeCase(field)}`,
      `is ${known ? policyName(policy) : policy}, must be one of ${allowed.map(policyName).join(", ")}${known ? `: ${why}` : ""}`,
    );
  }
}

/** "MIOU_DROP" for HEALTH_ALARM_KIND_MIOU_DROP: the reason when an alarm pauses, stops or fails a search. */
export function alarmReason(kind: Kind): string {
  return (Kind[kind] ?? String(kind)).replace("HEALTH_ALARM_KIND_", "");
}

const policyName = (policy: HealthPolicy) => enumWord(HealthPolicy, "HEALTH_POLICY_", policy);
