import { CostMetric, type CostTable, type SearchSpace } from "../proto/lathe/v1/space";
import type { CostSpec, SearchSpec } from "../proto/lathe/v1/spec";
import { costOfLargest, macsTable, smallestCostRatio } from "../space/cost";
import { givenGenotype, isSampling } from "./algorithm";
import { MAX_TARGETS, MAX_TARGET_LENGTH, NUMBERS, clip, type Fault } from "./bounds";
import { DEVICE_CLASS_RULE, isDeviceClass } from "./deviceClass";
import type { ResolvedSpec } from "./presets";

/** Distance from a latency target, as a share of it, within which a measured network meets it. */
export const TARGET_TOLERANCE = 0.05;

/** Distance from a share of the largest network's cost, as a share of it, within which a derived network meets it. */
export const SHARE_TOLERANCE = 0.1;

type Target = Pick<CostSpec, "targetMs" | "targetFps">;

/** The latency of an entry of cost.targets, such as "10ms" or "30fps"; undefined where it is none. */
export function parseTarget(text: string): Target | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|fps)$/.exec(text) ?? [];
  const value = Number(number);
  if (!(value > 0) || text.length > MAX_TARGET_LENGTH) return undefined;
  return unit === "ms" ? { targetMs: value, targetFps: 0 } : { targetMs: 0, targetFps: value };
}

const secondsOf = ({ targetMs = 0, targetFps = 0 }: Target): number | undefined => {
  if (targetMs > 0) return targetMs / 1000;
  return targetFps > 0 ? 1 / targetFps : undefined;
};

export interface NamedTarget {
  /** As cost.targets has it: "10ms" or "30fps". */
  text: string;
  target: Target;
  seconds: number;
}

/** The latencies that a spec asks for, the slowest first; none where it asks for a share. */
export function targetsOf({ targets = [], targetMs = 0, targetFps = 0 }: Partial<CostSpec>): NamedTarget[] {
  const named = (text: string, target: Target | undefined): NamedTarget[] => {
    const seconds = target && secondsOf(target);
    return target && seconds !== undefined ? [{ text, target, seconds }] : [];
  };
  if (targets.length === 0) return named(targetMs > 0 ? `${targetMs}ms` : `${targetFps}fps`, { targetMs, targetFps });
  return targets.flatMap((text) => named(text, parseTarget(text))).sort((a, b) => b.seconds - a.seconds);
}

/**
 * The latency that a spec asks for, in seconds for one image: of several the slowest, which its supernet is searched for. Undefined where it
 * asks for a share of the largest network's cost.
 */
export const targetSeconds = (cost: Partial<CostSpec> | undefined): number | undefined =>
  cost && targetsOf(cost)[0]?.seconds;

/** The field of a spec that asks for a latency, with its value, for messages. */
export function targetField(cost: Partial<CostSpec>): string {
  if (cost.targets && cost.targets.length > 0) return `cost.targets is ${cost.targets.join(", ")}`;
  return cost.targetMs ? `cost.target_ms is ${cost.targetMs}` : `cost.target_fps is ${cost.targetFps}`;
}

/** Height and width of the images of a space. */
type InputSize = Pick<SearchSpace, "inputHeight" | "inputWidth">;

/**
 * Section cost of a preset for a spec, with the metric of the spec where it names one, and macs for a given network. The preset's latency target
 * is for images of the preset's size, and in proportion to the pixels for others, as latencies nearly are. It gives way to a target of the
 * spec, to the metric macs, to a weight of 0 and to a given network.
 */
export function presetCost(
  { cost: preset, space }: Pick<ResolvedSpec, "cost" | "space">,
  spec: SearchSpec,
  input: InputSize,
): ResolvedSpec["cost"] {
  const set: Partial<CostSpec> = spec.cost ?? {};
  const isGiven = givenGenotype(spec) !== undefined;
  const metric = set.metric || (isGiven ? CostMetric.COST_METRIC_MACS : preset.metric);
  const isNamed = targetSeconds(set) !== undefined || set.target !== undefined || (set.targets ?? []).length > 0;
  const isFree = isGiven || set.weight === 0 || metric === CostMetric.COST_METRIC_MACS;
  const targetMs = isNamed || isFree ? 0 : scaledTarget(preset.targetMs, pixels(input) / pixels(space));
  return { ...preset, metric, targetMs };
}

const pixels = ({ inputHeight, inputWidth }: InputSize): number => inputHeight * inputWidth;

/** A latency in ms times a share of pixels, to two digits. A share that no valid input has changes nothing. */
function scaledTarget(milliseconds: number, share: number): number {
  return share > 0 && Number.isFinite(share) ? Number((milliseconds * share).toPrecision(2)) : milliseconds;
}

/**
 * Completes section cost of a spec: a latency target implies metric latency, an adaptive weight and no share. `cost` has the preset's values
 * where the spec has none. Faults: two targets, a metric other than latency, a device other than that of section profiling.
 */
export function resolveCost(cost: ResolvedSpec["cost"], spec: SearchSpec, fault: Fault): ResolvedSpec["cost"] {
  const set: Partial<CostSpec> = spec.cost ?? {};
  const isLatency = targetSeconds(cost) !== undefined;
  const { COST_METRIC_MACS: MACS, COST_METRIC_LATENCY: LATENCY } = CostMetric;
  const metric = set.metric || (isLatency ? LATENCY : cost.metric);
  checkDevice(cost.device, metric, spec, fault);
  checkTargets(cost, fault);
  if (!isLatency) return { ...cost, metric };
  if (cost.targetMs > 0 && cost.targetFps > 0)
    fault("cost.target_fps", `is ${cost.targetFps}, but cost.target_ms is ${cost.targetMs}; leave one out`);
  if ((set.target ?? 0) !== 0) fault("cost.target", `is ${set.target}, but ${targetField(cost)}; leave one out`);
  if (metric === MACS) fault("cost.metric", `is macs, but ${targetField(cost)}, which needs latency; leave one out`);
  if (cost.targets.length > 1 && isSampling(spec))
    fault(
      "cost.targets",
      `has ${cost.targets.length} entries, must have one for algorithm random or evolution, which leave no supernet`,
    );
  if (givenGenotype(spec))
    fault(
      "algorithm.kind",
      `is fixed, but ${targetField(cost)}: a given network is not searched; leave the target out`,
    );
  return { ...cost, metric, target: 0, adapt: set.adapt ?? true };
}

function checkTargets(cost: ResolvedSpec["cost"], fault: Fault): void {
  const { targets } = cost;
  if (targets.length > MAX_TARGETS)
    fault("cost.targets", `has ${targets.length} entries, must have at most ${MAX_TARGETS}`);
  targets.slice(0, MAX_TARGETS).forEach((text, index) => {
    if (!parseTarget(text))
      fault(`cost.targets[${index}]`, `is "${clip(text)}", must be a latency such as "10ms" or "30fps"`);
  });
  const same = targetsOf(cost).find(({ seconds }, index, all) => all[index - 1]?.seconds === seconds);
  if (same) fault("cost.targets", `has ${same.text} twice, must have different latencies`);
  for (const [field, value] of [
    ["cost.target_ms", cost.targetMs],
    ["cost.target_fps", cost.targetFps],
  ] as const)
    if (targets.length > 0 && value > 0) fault(field, `is ${value}, but cost.targets is set; leave one out`);
}

function checkDevice(device: string, metric: CostMetric, { profiling }: SearchSpec, fault: Fault): void {
  if (device === "") return;
  if (!isDeviceClass(device)) fault("cost.device", `is "${clip(device)}", must be ${DEVICE_CLASS_RULE}`);
  const other = profiling?.deviceClass;
  if (other && other !== device)
    fault("cost.device", `is "${clip(device)}", but profiling.device_class is "${clip(other)}"; leave one out`);
  if (metric !== CostMetric.COST_METRIC_LATENCY)
    fault("cost.device", `is "${clip(device)}", but cost.metric is macs, which no device measures; set it to latency`);
}

/**
 * The share of the largest network's cost that the space's smallest network takes by the table, where that is too much for the share that
 * the spec asks for. Undefined where a network meets it, or where nothing is searched for it. Networks that are drawn stay below the target.
 */
export function leastShare(spec: SearchSpec, space: SearchSpace, table: CostTable): number | undefined {
  const { target = 0, weight = 0 } = spec.cost ?? {};
  const isDrawn = isSampling(spec);
  const isSearched = isDrawn || (weight > 0 && !givenGenotype(spec));
  if (!isSearched || !(target > 0) || targetSeconds(spec.cost) !== undefined) return undefined;
  const smallest = smallestCostRatio(space, table);
  return smallest > target * (isDrawn ? 1 : 1 + SHARE_TOLERANCE) + 1e-9 ? smallest : undefined;
}

/** A share of MACs that no network of the space meets is a fault. For a share of a latency, the operators must be measured first. */
export function checkShare(spec: ResolvedSpec, space: SearchSpace, fault: Fault): void {
  if (spec.cost.metric !== CostMetric.COST_METRIC_MACS) return;
  const share = leastShare(spec, space, macsTable(space))?.toFixed(3);
  if (share === undefined) return;
  const { target } = spec.cost;
  fault(
    "cost.target",
    `is ${target}, but the smallest network of the space costs ${share} of the largest; give space smaller widths or depths, or a larger target`,
  );
}

/** A share of 1 would be no target. A latency that is near that of the largest network may exceed the table's prediction for it. */
const MOST_SHARE = 0.99;

/**
 * A spec whose target is a share of the largest network's cost by the table, for the work of a search: a latency target becomes its share.
 * Stem, reductions and head cost most of some latencies, and no choice changes them. So the weight grows by 1 / (1 - s)^2, with s the share
 * of the smallest network: the cost term then has the same size over the range of the space as for a cost without a fixed part.
 * INVALID_ARGUMENT where the table lacks a row of the space.
 */
export function withShare(spec: SearchSpec, space: SearchSpace, table: CostTable): SearchSpec {
  const seconds = targetSeconds(spec.cost);
  if (seconds === undefined) return spec;
  const target = Math.min(MOST_SHARE, seconds / costOfLargest(space, table));
  const range = 1 - Math.min(MOST_SHARE, smallestCostRatio(space, table));
  const weight = Math.min(NUMBERS.cost.weight.max, (spec.cost?.weight ?? 0) / range ** 2);
  const metric = CostMetric.COST_METRIC_LATENCY;
  return { ...spec, cost: { ...spec.cost, metric, target, weight, targetMs: 0, targetFps: 0, targets: [] } };
}
