import { HealthAlarmKind as Kind } from "../proto/lathe/v1/result";
import { AlgorithmKind, HealthPolicy, SearchSpec } from "../proto/lathe/v1/spec";
import type { LatheError } from "../process/errors";
import { policyOf } from "./health";
import { parseSpec } from "./parse";
import { resolve } from "./resolve";

type Health = NonNullable<Parameters<typeof SearchSpec.fromPartial>[0]["health"]>;
const tiny = (health: Health) => SearchSpec.fromPartial({ preset: "tiny", health });

function faults(health: Health): string[] {
  try {
    resolve(tiny(health));
  } catch (error) {
    return (error as LatheError).violations.map(({ field, description }) => `${field} ${description}`);
  }
  return [];
}

const { HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_PAUSE: PAUSE } = HealthPolicy;
const { HEALTH_POLICY_FAIL: FAIL, HEALTH_POLICY_STOP: STOP } = HealthPolicy;

it("fields of a spec's health override the preset's, also from YAML", () => {
  const asked = parseSpec("preset: tiny\nhealth: {patience: 5, on_miou_drop: pause, max_class_share: 1}", "s.yaml");
  const { health } = resolve(asked).spec;
  expect(health).toMatchObject({ patience: 5, maxClassShare: 1, maxMiouDrop: 0.2, graceEpochs: 3 });
  expect(policyOf(health, Kind.HEALTH_ALARM_KIND_MIOU_DROP)).toBe(PAUSE);
  expect(policyOf(health, Kind.HEALTH_ALARM_KIND_GRADIENT_NORM)).toBe(REPORT);
  expect(policyOf(health, Kind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE)).toBe(FAIL);
  expect(policyOf(health, Kind.HEALTH_ALARM_KIND_PLATEAU)).toBe(STOP);
});

it.each<[Health, string[]]>([
  [{ onLossNotFinite: PAUSE, onMiouDrop: STOP, onPlateau: REPORT, onCapacityGone: FAIL }, []],
  [
    { onLossNotFinite: REPORT },
    ["health.on_loss_not_finite is report, must be one of pause, fail: no step can follow a loss that is not finite"],
  ],
  [
    { onTrivialPredictor: STOP },
    [
      "health.on_trivial_predictor is stop, must be one of report, pause, fail: the network of such a supernet is useless",
    ],
  ],
  [
    { onPlateau: FAIL },
    ["health.on_plateau is fail, must be one of report, pause, stop: a search that no longer improves has not failed"],
  ],
  [{ onLateEntropy: 9 as HealthPolicy }, ["health.on_late_entropy is 9, must be one of report, pause, fail, stop"]],
  [
    { maxClassShare: 1.5, patience: -1, maxGradientNorm: 0 },
    [
      "health.max_gradient_norm is 0, must be a number above 0 and below 1000000000",
      "health.max_class_share is 1.5, must be a number between 0 and 1",
      "health.patience is -1, must be an integer between 0 and 10000",
    ],
  ],
])("%j gives the faults %j", (health, expected) => {
  expect(faults(health)).toEqual(expected);
});

it("darts has no alarm on late entropy, because it decides only at its end", () => {
  const spec = {
    ...tiny({ maxLateEntropy: 0.5 }),
    algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_DARTS, genotype: undefined },
  };
  expect(resolve(spec).spec.health.maxLateEntropy).toBe(1);
});
