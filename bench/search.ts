import { parseArgs } from "node:util";
import { camvidLayout } from "../shared/data/layouts/camvid";
import { createEngine, type Engine } from "../shared/engine/engine";
import { Dimension, type Architecture } from "../shared/proto/lathe/v1/space";
import { macsTable } from "../shared/space/cost";
import { candidatesLeft, initialArchitecture, isConverged } from "../shared/space/groups";
import { resolve, type ResolvedSpec } from "../shared/spec/resolve";
import { readSpec } from "../cli/spec/specFlags";
import { stepOptions } from "../services/supernet/training/algorithms/ssr/train";
import { type SearchJob } from "../services/supernet/training/algorithms/search";
import { positive, type Measurement } from "./measurement";
import { openForms, ratiosOver, requireForms, type Forms } from "./forms";
import { type Mode, type PyTorch, pytorchSettings } from "./pytorch";
import { runSearch, type Epoch } from "./searchRun";

/** Uncounted steps of each form before the first epoch. */
const WARM_UP = 3;

/** The times of an epoch on both sides. */
interface Row {
  epoch: number;
  operations: number;
  candidates: number;
  /** The formulation of the steps. */
  formulation: string;
  /** Seconds since the previous epoch. */
  seconds: number;
  /** The part of `seconds` outside steps and validation: tracing, compilation, shrink and checkpoint. */
  outside: number;
  /** Of each form of PyTorch. */
  pytorch: number[];
}

/**
 * Measures a whole search of preset small with its real shrinks. After each epoch, PyTorch runs the same epoch: the same number of steps
 * with the remaining candidates, and a validation pass. Lathe's time includes reading data, tracing, compilation and checkpoints; PyTorch
 * uses random batches in memory. Arguments: --data folder of CamVid (default: generated streets); --epochs, --threads; --form of PyTorch, one
 * or several, by default eager and channels_last.
 */
export async function search(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: "string" },
      epochs: { type: "string" },
      form: { type: "string", multiple: true, default: ["eager", "channels_last"] },
      threads: { type: "string", default: "2" },
    },
  });
  requireForms(values.form);
  const threads = positive(values.threads, "--threads");
  const dataset = values.data === undefined ? "streets" : "camvid";
  const { spec, space } = resolve(
    readSpec({
      preset: "small",
      dataset,
      ...(values.data !== undefined && { data: values.data }),
      ...(values.epochs !== undefined && { epochs: positive(values.epochs, "--epochs") }),
    }),
  );
  const job: SearchJob = { spec, space, table: macsTable(space) };
  const theirs = await openForms(threads, (python, mode) => openTheirs(python, job, mode), values.form);
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  try {
    const ran = await run(engine, job, theirs);
    return [measurement(ran, theirs, { dataset, threads, engine: engine.name })];
  } finally {
    await theirs.close();
  }
}

/** Runs an epoch on the other side; gives its seconds. */
type Theirs = (epoch: Epoch) => Promise<number>;

async function run(engine: Engine, job: SearchJob, { forms }: Forms<Theirs>) {
  const rows: Row[] = [];
  let formulation = "";
  let resumed = performance.now();
  const event = await runSearch(engine, job, {
    completed: async (done) => {
      const seconds = (performance.now() - resumed) / 1000;
      const pytorch: number[] = [];
      for (const { first: theirs } of forms) pytorch.push(await theirs(done));
      const { metrics, architecture } = done;
      const { epoch, epochs } = metrics;
      const [operations, candidates] = [operationsLeft(architecture), candidatesLeft(architecture)];
      const outside = seconds - metrics.seconds;
      rows.push({ epoch, operations, candidates, formulation, seconds, outside, pytorch });
      const others = forms.map(({ name }, at) => `, PyTorch ${name} ${(pytorch[at] ?? NaN).toFixed(2)} s`).join("");
      console.error(`epoch ${epoch} of ${epochs}: ${seconds.toFixed(2)} s${others}`);
      resumed = performance.now();
    },
    compiled: (chosen) => void (formulation = chosen),
  });
  return { rows, rest: (performance.now() - resumed) / 1000, convergedEpoch: event.convergedEpoch };
}

/** Number of candidate operations that a step computes, over all blocks. */
function operationsLeft({ groups }: Architecture): number {
  return groups
    .filter(({ dimension }) => dimension === Dimension.DIMENSION_OPERATION)
    .reduce((sum, { survivors }) => sum + survivors.length, 0);
}

/** Number of alpha steps of an epoch: none during the warm-up, and none after all groups are decided. */
function alphaSteps(spec: ResolvedSpec, { epoch, steps }: { epoch: number; steps: number }, left: Architecture) {
  return epoch > spec.training.warmupEpochs && !isConverged(left) ? steps : 0;
}

/** The PyTorch side of a search, whose supernet and optimizers persist between epochs. */
async function openTheirs(python: PyTorch, job: SearchJob, mode: Mode): Promise<Theirs> {
  const { spec, space } = job;
  const { training, cost } = spec;
  const options = stepOptions(job, new Float32Array(space.classes).fill(1));
  const { path, validationExamples: drawn } = spec.dataset;
  const validationExamples = path === "" ? drawn : (await camvidLayout(path)).validation.length;
  // The values of rates and factors do not affect the time. Like Lathe, PyTorch gets new survivors and parameters at each epoch.
  const rates = { weights: training.weightLearningRate, alphas: 1e-3 };
  await python.call("init", {
    ...pytorchSettings(space, options, { rates, ssrFactor: 1, costWeight: cost.weight }),
    architecture: initialArchitecture(space),
    mode,
  });
  // A form that fails there is left out.
  await python.call("epoch", { steps: WARM_UP, alphaSteps: WARM_UP, evaluations: 1 });
  return async ({ metrics, architecture }) => {
    const { steps } = metrics;
    await python.call("assign", { architecture });
    const evaluations = Math.ceil(validationExamples / training.batchSize);
    const epoch = { steps, alphaSteps: alphaSteps(spec, metrics, architecture), evaluations };
    return (await python.call<{ seconds: number }>("epoch", epoch)).seconds;
  };
}

function measurement(
  { rows, rest, convergedEpoch }: Awaited<ReturnType<typeof run>>,
  { forms, notes, versions }: Forms<Theirs>,
  { dataset, threads, engine }: { dataset: string; threads: number; engine: string },
): Measurement {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const ours = sum(rows.map(({ seconds }) => seconds)) + rest;
  const theirs = forms.map(({ name }, at) => [name, sum(rows.map(({ pytorch }) => pytorch[at] ?? NaN))] as const);
  return {
    title: `whole search of preset small on ${dataset}, ${rows.length} epochs`,
    unit: "s",
    series: {
      "lathe, whole search": [ours],
      ...Object.fromEntries(theirs.map(([name, seconds]) => [`pytorch ${name}, whole search`, [seconds]])),
    },
    ratios: ratiosOver("whole search", [ours], Object.fromEntries(theirs.map(([name, seconds]) => [name, [seconds]]))),
    notes: {
      engine,
      threads,
      "decided by shrinking after epoch": convergedEpoch || "none",
      lathe: "includes reading data, tracing, compilation, shrinks, validation and checkpoints",
      ...(forms.length > 0 && { pytorch: "steps and validation on a random batch in memory, without preparing data" }),
      ...notes,
      "lathe outside epochs, s": Number(sum(rows.map(({ outside }) => outside)).toFixed(2)),
    },
    table: {
      columns: [
        ...["epoch", "operations", "candidates", "formulation", "lathe s", "outside s"],
        ...forms.map(({ name }) => `pytorch ${name} s`),
      ],
      rows: rows.map(({ epoch, operations, candidates, formulation, seconds, outside, pytorch }) => [
        ...[epoch, operations, candidates, formulation],
        ...[seconds, outside, ...pytorch].map((each) => each.toFixed(2)),
      ]),
    },
    ...(versions && { versions }),
  };
}
