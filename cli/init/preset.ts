import { availableParallelism } from "node:os";
import type { ProfileReport } from "../../services/supernet/training/profile";
import { trainingProcess } from "../../services/supernet/training/jobs";
import { LatheError } from "../../shared/process/errors";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { largestGenotype } from "../../shared/space/genotype";
import { networkCosts } from "../../shared/space/networkCosts";
import type { Preset } from "../../shared/spec/bounds";
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
  if (named !== undefined || total(minutes) <= MOST_MINUTES) return { preset, lines: [lineOf(preset, minutes)] };
  const less = await measured("tiny");
  return {
    preset: "tiny",
    lines: [lineOf("tiny", less), `Preset small would take about ${Math.round(total(minutes))} minutes.`],
  };
}

const total = ({ search, retraining }: Minutes): number => search + retraining;

function lineOf(preset: Preset, { search, retraining }: Minutes): string {
  const about = (minutes: number): string => (minutes < 1 ? "under a minute" : `about ${Math.round(minutes)} minutes`);
  return `Preset ${preset}: ${about(search)} for the search and ${about(retraining)} for the retraining, on this machine's processor as busy as it is now.`;
}

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
 * Measures the training steps of a spec's whole supernet on this machine, and multiplies them by the steps of the search: an upper bound,
 * because a shrinking supernet gets faster. The retraining is computed from the rate of MACs that was measured and from the largest network
 * of the space times the target of the cost. Validation counts as a forward pass.
 */
async function expectedMinutes(
  given: SearchSpec,
  { divided: { train, validation } }: InitPlan,
  signal: AbortSignal,
): Promise<Minutes> {
  const { resolved: spec, space } = requested(given);
  const engine = { engine: "onnxruntime", provider: "cpu", threads: availableParallelism() } as const;
  const job = { spec, space, table: macsTable(space), ...STEPS };
  const outcome = await trainingProcess().run({ engine, kind: "profile", job }, { signal });
  if (outcome.kind !== "profile") throw new LatheError("INTERNAL", `a profile came back as ${outcome.kind}`);
  const { training, retraining, cost } = spec;
  const weights = stepOf(outcome.report, "weights");
  const both = outcome.report.steps.reduce((sum, { seconds }) => sum + seconds, 0);
  const forward = weights.seconds / PASSES / training.batchSize;
  const search = training.epochs * (Math.floor(train.length / training.batchSize) * both + validation.length * forward);
  const head = { kind: "aggregation", pyramidChannels: retraining.pyramidChannels, dropout: 0 } as const;
  const { macs } = networkCosts(largestGenotype(space), head);
  const image = (cost.target * macs * weights.seconds) / weights.macs;
  const perEpoch = retraining.batchSize * Math.floor(train.length / retraining.batchSize) * PASSES + validation.length;
  return { search: search / 60, retraining: (retraining.epochs * perEpoch * image) / 60 };
}

function stepOf({ steps }: ProfileReport, name: string): ProfileReport["steps"][number] {
  const found = steps.find(({ step }) => step === name);
  if (found) return found;
  throw new LatheError("INTERNAL", `a profile came back without the step ${name}`);
}
