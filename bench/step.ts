import { parseArgs } from "node:util";
import { createEngine } from "../shared/engine/engine";
import { createRandom } from "../shared/engine/random";
import { firstState } from "../shared/network/checkpoint";
import { initialStats, initialWeights } from "../shared/network/initialise";
import { buildSupernet } from "../shared/network/supernet";
import { LatheError } from "../shared/process/errors";
import { costOfLargest, macsTable } from "../shared/space/cost";
import { initialArchitecture } from "../shared/space/groups";
import {
  openSupernetTrainer,
  type StepOptions,
  type SupernetTrainer,
} from "../services/supernet/training/supernetTrainer";
import { randomBatch } from "../services/supernet/training/randomBatch";
import { median, positive, type Measurement } from "./measurement";
import { isFloat32, openForms, ratiosOver } from "./forms";
import { base64, namedTensors, type PyTorch, pytorchSettings } from "./pytorch";
import { CLASSES, sizesNamed, SIZES, sizeText, spaceOf, type Size } from "./sizes";

/** Uncounted pairs: at the start, while a session's memory arena grows, and at each turn, when the caches hold the other side's data. */
const WARM_UP = 4;
const TURN_WARM_UP = 1;
const RATES = { weights: 3e-4, alphas: 2e-3 };
const TERMS = { ssrFactor: 1, costWeight: 1 };
/** Tolerance of the losses of the first step: the sides add in different orders. */
const TOLERANCE = 1e-3;

interface Pair {
  weights: number;
  alpha: number;
  losses: { weights: number; alpha: number; ssr: number; cost: number };
}

/** Runs a pair of steps of one side. */
type Run = () => Promise<Pair>;

/**
 * Measures a weights step and an alpha step of a full supernet, with Adam, of Lathe and of each form of PyTorch in turns. All start from the
 * same weights and batch; their first losses must agree. Arguments: sizes S and L (default: both); --rounds, --pairs per round, --threads.
 */
export async function step(args: readonly string[]): Promise<Measurement[]> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "8" },
      pairs: { type: "string", default: "5" },
      threads: { type: "string", default: "2" },
    },
  });
  const counts = {
    rounds: positive(values.rounds, "--rounds"),
    pairs: positive(values.pairs, "--pairs"),
    threads: positive(values.threads, "--threads"),
  };
  const sizes = sizesNamed(positionals);
  const measurements: Measurement[] = [];
  for (const size of sizes) measurements.push(await measure(size, counts));
  return measurements;
}

async function measure(
  size: Size,
  { rounds, pairs, threads }: { rounds: number; pairs: number; threads: number },
): Promise<Measurement> {
  const trial = makeTrial(size);
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  // Before openSupernetTrainer, which reuses the initial vectors.
  const theirs = await openForms(threads, async (python, mode) => {
    await python.call("init", { ...stepsRequest(trial), mode });
    return theirPair(python)();
  });
  const session = await openSupernetTrainer(engine, trial.start, trial.options);
  const ours = ourPair(session, trial);
  const series: Record<string, number[]> = {};
  const mine: number[] = [];
  const others: Record<string, number[]> = {};
  const turn = async (side: string, run: Run): Promise<number> => {
    for (let at = 0; at < TURN_WARM_UP; at++) await run();
    const totals: number[] = [];
    for (let at = 0; at < pairs; at++) {
      const { weights, alpha } = await run();
      totals.push(weights + alpha);
      for (const [part, ms] of Object.entries({ weights, alpha, pair: weights + alpha }))
        (series[`${side} ${part}`] ??= []).push(ms);
    }
    return median(totals);
  };
  try {
    const { losses } = await ours();
    for (const { name, first } of theirs.forms) if (isFloat32(name)) agree(losses, first.losses);
    const runs = theirs.forms.map(({ name, python }) => ({ name, run: theirPair(python) }));
    for (let at = 1; at < WARM_UP; at++) for (const run of [ours, ...runs.map((one) => one.run)]) await run();
    for (let round = 0; round < rounds; round++) {
      mine.push(await turn("lathe", ours));
      for (const { name, run } of runs) (others[name] ??= []).push(await turn(`pytorch ${name}`, run));
    }
  } finally {
    await session.release();
    await theirs.close();
  }
  return {
    title: `supernet step, ${sizeText(size)}, including Adam`,
    unit: "ms",
    series,
    ratios: ratiosOver("pair", mine, others),
    notes: {
      engine: engine.name,
      threads,
      rounds: `${rounds} of ${pairs} pairs per side in turns; uncounted pairs: ${TURN_WARM_UP} per turn, ${WARM_UP} at the start`,
      formulation: session.compiled.formulation,
      "trace and compile, s": Number(session.compiled.seconds.toFixed(2)),
      ...theirs.notes,
    },
    ...(theirs.versions && { versions: theirs.versions }),
  };
}

type Trial = ReturnType<typeof makeTrial>;

/** A supernet of a size with its initial state, and a random batch, both from a seed. */
export function makeTrial(size: Size, seed = 1) {
  const { batchSize } = SIZES[size];
  const space = spaceOf(size);
  const random = createRandom(seed, "bench");
  const supernet = buildSupernet(space, initialArchitecture(space));
  const table = macsTable(space);
  const options: StepOptions = {
    seed: 1,
    batchSize,
    weightDecay: 1e-4,
    classWeights: new Float32Array(CLASSES).fill(1),
    alpha: {
      table,
      largestCost: costOfLargest(space, table),
      target: 0.6,
      ssr: { depth: 30, operation: 30, outputWidth: 15, middleWidth: 15 },
      weightDecay: 1e-3,
    },
  };
  return {
    space,
    options,
    start: firstState(supernet, initialWeights(supernet.weights, random), initialStats(supernet.stats)),
    batch: randomBatch(space, batchSize, random),
  };
}

function ourPair(session: SupernetTrainer, { batch }: Trial): Run {
  return async () => {
    const started = performance.now();
    const weights = await session.weightStep(batch, RATES.weights);
    const between = performance.now();
    const alpha = await session.alphaStep?.(batch, RATES.alphas, TERMS);
    const ended = performance.now();
    if (!alpha) throw new LatheError("INTERNAL", "a full supernet has no alpha step");
    return {
      weights: between - started,
      alpha: ended - between,
      losses: { weights: weights.loss, alpha: alpha.loss, ssr: alpha.ssr, cost: alpha.cost },
    };
  };
}

function theirPair(python: PyTorch): Run {
  return async () => {
    const { ms, loss, alpha } = await python.call<{
      ms: { weights: number; alpha: number };
      loss: number;
      alpha: { loss: number; ssr: number; cost: number };
    }>("pair");
    return { ...ms, losses: { weights: loss, alpha: alpha.loss, ssr: alpha.ssr, cost: alpha.cost } };
  };
}

/** The supernet, the weights and the batch of a trial for the PyTorch side. */
export function stepsRequest({ start, options, batch }: Pick<Trial, "start" | "options" | "batch">): object {
  const { space, architecture, weights } = start.supernet;
  return {
    ...pytorchSettings(space, options, { rates: RATES, ...TERMS }),
    architecture,
    weights: namedTensors(start.weights.values, weights),
    images: base64(batch.images),
    labels: [...batch.labels],
  };
}

/** FAILED_PRECONDITION if the first losses of the two sides differ. */
function agree(ours: Pair["losses"], theirs: Pair["losses"]): void {
  for (const name of ["weights", "alpha", "ssr", "cost"] as const) {
    const [mine, other] = [ours[name], theirs[name]];
    if (Math.abs(mine - other) <= TOLERANCE * Math.max(1, Math.abs(other))) continue;
    throw new LatheError(
      "FAILED_PRECONDITION",
      `the sides compute different results: ${name} is ${mine} in Lathe and ${other} in PyTorch`,
    );
  }
}
