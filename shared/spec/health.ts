import { HealthAlarmKind as Kind } from "../proto/lathe/v1/result";
import { HealthPolicy } from "../proto/lathe/v1/spec";
import { type Fault, type HealthPolicyField, enumWord, snakeCase } from "./bounds";

const {
  HEALTH_POLICY_REPORT: REPORT,
  HEALTH_POLICY_PAUSE: PAUSE,
  HEALTH_POLICY_FAIL: FAIL,
  HEALTH_POLICY_STOP: STOP,
} = HealthPolicy;

interface KindPolicies {
  kind: Kind;
  initial: HealthPolicy;
  allowed: readonly HealthPolicy[];
  /** Reason why other policies are refused. */
  why: string;
}

const ill = "the network of such a supernet is useless";
const anyPolicy = { initial: REPORT, allowed: [REPORT, PAUSE, FAIL, STOP], why: "" };
const noStop = { initial: REPORT, allowed: [REPORT, PAUSE, FAIL] };

/** The kind of alarm, the default and the allowed policies of each field of the spec. */
const POLICIES: Record<HealthPolicyField, KindPolicies> = {
  onLossNotFinite: {
    ...{ kind: Kind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE, initial: FAIL, allowed: [PAUSE, FAIL] },
    why: "no step can follow a loss that is not finite",
  },
  onGradientNorm: {
    ...{ kind: Kind.HEALTH_ALARM_KIND_GRADIENT_NORM, ...noStop },
    why: "one large step ends no search",
  },
  onTrivialPredictor: { kind: Kind.HEALTH_ALARM_KIND_TRIVIAL_PREDICTOR, ...noStop, why: ill },
  onMiouDrop: { kind: Kind.HEALTH_ALARM_KIND_MIOU_DROP, ...anyPolicy },
  onOperationDominance: { kind: Kind.HEALTH_ALARM_KIND_OPERATION_DOMINANCE, ...anyPolicy },
  onScaleDominance: { kind: Kind.HEALTH_ALARM_KIND_SCALE_DOMINANCE, ...anyPolicy },
  onLateEntropy: { kind: Kind.HEALTH_ALARM_KIND_LATE_ENTROPY, ...anyPolicy },
  onCapacityGone: { kind: Kind.HEALTH_ALARM_KIND_CAPACITY_GONE, ...noStop, why: ill },
  onPlateau: {
    ...{ kind: Kind.HEALTH_ALARM_KIND_PLATEAU, initial: STOP, allowed: [REPORT, PAUSE, STOP] },
    why: "a search that no longer improves has not failed",
  },
};
const ROWS = Object.entries(POLICIES).map(([field, row]) => ({ field: field as HealthPolicyField, ...row }));

/** Policy of a kind of alarm; report if the spec, of an older version, has none. */
export function policyOf(health: Record<HealthPolicyField, HealthPolicy>, kind: Kind): HealthPolicy {
  const field = ROWS.find((row) => row.kind === kind)?.field;
  return (field && health[field]) || REPORT;
}

/** The default policies. */
export function defaultPolicies(): Record<HealthPolicyField, HealthPolicy> {
  const policies = ROWS.map(({ field, initial }) => [field, initial]);
  return Object.fromEntries(policies) as Record<HealthPolicyField, HealthPolicy>;
}

/** Fills in unset policies, and records a fault for each policy that its kind does not allow. */
export function resolvePolicies(health: Record<HealthPolicyField, HealthPolicy>, fault: Fault): void {
  for (const { field, initial, allowed, why } of ROWS) {
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
