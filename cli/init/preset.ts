import { availableParallelism } from "node:os";
import { trainingProcess } from "../../services/supernet/training/jobs";
import { LatheError } from "../../shared/process/errors";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import type { Preset } from "../../shared/spec/bounds";
import { presetSpec } from "../../shared/spec/presets";
import { requested } from "../spec/specFlags";
import type { InitPlan } from "./plan";
import { fitted } from "./write";

/** Steps before the measurement, and measured ones. */
const STEPS = { warmUp: 1, runs: 3 };
/** A training step goes through each convolution forward, and backward to its input and to its weights. */
const PASSES = 3;

/** Expected minutes on this machine. */
interface Minutes {
  readonly search: number;
  readonly retraining: number;
}

/** Longest search and retraining for which the preset `small` is chosen. */
const MOST_MINUTES = 60;

/** The preset that a user names, else `small`, or `tiny` where that takes too long on this machine; and lines with the minutes. */
export async function chosenPreset(
  named: Preset | undefined,
  plan: InitPlan,
  signal: AbortSignal,
): Promise<{ preset: Preset; lines: string[] }> {
  const measured = async (preset: Preset): Promise<Minutes> => expectedMinutes(specOf(preset, plan), plan, signal);
  const preset = named ?? "small";
  const minutes = await measured(preset);
  if (named !== undefined || total(minutes) <= MOST_MINUTES)
    return { preset, lines: [lineOf(preset, minutes), ...targetLines(specOf(preset, plan))] };
  const less = await measured("tiny");
  return {
    preset: "tiny",
    lines: [lineOf("tiny", less), `Preset small would take up to about ${Math.ceil(total(minutes))} minutes.`],
  };
}

const total = ({ search, retraining }: Minutes): number => search + retraining;

function lineOf(preset: Preset, { search, retraining }: Minutes): string {
  const most = (minutes: number): string => `${Math.ceil(minutes)} minute${minutes > 1 ? "s" : ""}`;
  return `Preset ${preset}: at most about ${most(search)} for the search and ${most(retraining)} for the retraining, on this machine's processor as busy as it is now${measures(preset) ? "; and some minutes to measure the latency of operators and networks" : ""}.`;
}

/** The latency that the search asks for, where its preset has one. */
export function targetLines(given: SearchSpec): string[] {
  const { targetMs } = requested(given).resolved.cost;
  return targetMs > 0 ? [`It searches for ${targetMs} ms an image; cost.target_ms asks for another latency.`] : [];
}

const measures = (preset: Preset): boolean => presetSpec(preset).cost.metric === CostMetric.COST_METRIC_LATENCY;

function specOf(preset: Preset, plan: InitPlan): SearchSpec {
  const { input, batchSize } = fitted(preset, plan);
  return SearchSpec.fromPartial({
    preset,
    space: { inputHeight: input.height, inputWidth: input.width },
    ...(batchSize !== undefined && { training: { batchSize }, retraining: { batchSize } }),
    dataset: plan.dataset,
  });
}

/**
 * Measures the steps of a search on this machine, and multiplies them by their number. Both are upper bounds: a shrinking supernet gets
 * faster, and the largest network of the space is measured. Validation counts as a forward pass.
 */
async function expectedMinutes(
  given: SearchSpec,
  { divided: { train, validation } }: InitPlan,
  signal: AbortSignal,
): Promise<Minutes> {
  const { resolved: spec, space } = requested(given);
  const engine = { engine: "onnxruntime", provider: "cpu", threads: availableParallelism() } as const;
  const job = { spec, space, table: macsTable(space), ...STEPS };
  const outcome = await trainingProcess().run({ engine, kind: "pace", job }, { signal });
  if (outcome.kind !== "pace") throw new LatheError("INTERNAL", `a pace came back as ${outcome.kind}`);
  const { weights, alphas, retraining } = outcome.pace;
  const minutes = (step: number, forward: number, { epochs, batchSize }: { epochs: number; batchSize: number }) =>
    (epochs * (Math.floor(train.length / batchSize) * step + (validation.length / batchSize) * forward)) / 60;
  return {
    search: minutes(weights + alphas, weights / PASSES, spec.training),
    retraining: minutes(retraining, retraining / PASSES, spec.retraining),
  };
}
