import { parseArgs } from "node:util";
import { camvidLayout } from "../shared/data/layouts/camvid";
import { createEngine } from "../shared/engine/engine";
import { LatheError } from "../shared/process/errors";
import type { EpochCompleted } from "../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../shared/proto/lathe/v1/result";
import { Dimension, type Architecture } from "../shared/proto/lathe/v1/space";
import { macsTable } from "../shared/space/cost";
import { candidatesLeft, isConverged } from "../shared/space/groups";
import { resolve, type ResolvedSpec } from "../shared/spec/resolve";
import { readSpec } from "../cli/spec/specFlags";
import { answer } from "../services/shrinking/consumer";
import { decisionOn } from "../services/supernet/resumption";
import { stepOptions, trainSupernet } from "../services/supernet/training/algorithms/ssr/train";
import { type SearchJob } from "../services/supernet/training/algorithms/search";
import { positive, type Measurement } from "./measurement";
import { FORMS } from "./forms";
import { LEFT_OUT, openPyTorch, type Mode, type PyTorch, pytorchSettings } from "./pytorch";

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
  pytorch: number | undefined;
}

/**
 * Measures a whole search of preset small with its real shrinks. After each epoch, PyTorch runs the same epoch: the same number of steps
 * with the remaining candidates, and a validation pass. Lathe's time includes reading data, tracing, compilation and checkpoints; PyTorch
 * uses random batches in memory. Arguments: --data folder of CamVid (default: generated streets); --epochs, --threads; --form of PyTorch,
 * by default eager.
 */
export async function search(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: "string" },
      epochs: { type: "string" },
      form: { type: "string", default: "eager" },
      threads: { type: "string", default: "2" },
    },
  });
  const form = FORMS[values.form];
  if (!form)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `--form is "${values.form}", must be one of ${Object.keys(FORMS).join(", ")}`,
    );
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
  const python = await openPyTorch(threads);
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  try {
    const theirs = python && (await openTheirs(python, job, form));
    const { rows, rest, convergedEpoch } = await run(engine, job, theirs);
    return [
      measurement(rows, rest, { dataset, threads, convergedEpoch, engine: engine.name, form: values.form }, python),
    ];
  } finally {
    await python?.close();
  }
}

type Epoch = (event: EpochCompleted) => Promise<number>;

async function run(engine: Parameters<typeof trainSupernet>[0], job: SearchJob, theirs: Epoch | undefined) {
  const rows: Row[] = [];
  let formulation = "";
  let resumed = performance.now();
  const event = await trainSupernet(engine, job, {
    storeCheckpoint: () => Promise.resolve(nowhere),
    completeEpoch: async (completed) => {
      const told = answer(completed);
      const seconds = (performance.now() - resumed) / 1000;
      const { metrics, architecture } = required(completed);
      const pytorch = await theirs?.(completed);
      const { epoch, epochs } = metrics;
      const [operations, candidates] = [operationsLeft(architecture), candidatesLeft(architecture)];
      const outside = seconds - metrics.seconds;
      rows.push({ epoch, operations, candidates, formulation, seconds, outside, pytorch });
      console.error(`epoch ${epoch} of ${epochs}: ${seconds.toFixed(2)} s, PyTorch ${pytorch?.toFixed(2) ?? "-"} s`);
      const decision = decisionOn(epoch, { sequence: epoch, time: new Date(), searchId: "bench", event: told });
      if (!decision) throw new LatheError("INTERNAL", `${told.type} has no decision on epoch ${epoch}`);
      resumed = performance.now();
      return decision;
    },
    raise: () => Promise.resolve(),
    progress: () => undefined,
    compiled: (graphs) => void ({ formulation } = graphs),
    signal: new AbortController().signal,
  });
  return { rows, rest: (performance.now() - resumed) / 1000, convergedEpoch: event.convergedEpoch };
}

const nowhere: ArtifactRef = { object: "", kind: "checkpoint", sizeBytes: 0, sha256: "", mediaType: "" };

function required({ metrics, architecture }: EpochCompleted) {
  if (metrics && architecture) return { metrics, architecture };
  throw new LatheError("INTERNAL", "an epoch has no metrics or no architecture");
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
async function openTheirs(python: PyTorch, job: SearchJob, mode: Mode): Promise<Epoch> {
  const { spec, space } = job;
  const { training, cost } = spec;
  const options = stepOptions(job, new Float32Array(space.classes).fill(1));
  const { path, validationExamples: drawn } = spec.dataset;
  const validationExamples = path === "" ? drawn : (await camvidLayout(path)).validation.length;
  // The values of rates and factors do not affect the time. Like Lathe, PyTorch gets new survivors and parameters at each epoch.
  const rates = { weights: training.weightLearningRate, alphas: 1e-3 };
  await python.call("init", {
    ...pytorchSettings(space, options, { rates, ssrFactor: 1, costWeight: cost.weight }),
    architecture: { groups: [] },
    mode,
  });
  return async (completed) => {
    const { metrics, architecture } = required(completed);
    const { steps } = metrics;
    await python.call("assign", { architecture });
    if (metrics.epoch === 1) await python.call("epoch", { steps: 3, alphaSteps: 3, evaluations: 1 });
    const evaluations = Math.ceil(validationExamples / training.batchSize);
    const epoch = { steps, alphaSteps: alphaSteps(spec, metrics, architecture), evaluations };
    return (await python.call<{ seconds: number }>("epoch", epoch)).seconds;
  };
}

function measurement(
  rows: readonly Row[],
  rest: number,
  notes: { dataset: string; threads: number; convergedEpoch: number; engine: string; form: string },
  python: PyTorch | undefined,
): Measurement {
  const { dataset, threads, convergedEpoch, engine, form } = notes;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const ours = sum(rows.map(({ seconds }) => seconds)) + rest;
  const theirs = python && sum(rows.map(({ pytorch }) => pytorch ?? NaN));
  return {
    title: `whole search of preset small on ${dataset}, ${rows.length} epochs`,
    unit: "s",
    series: { "lathe, whole search": [ours], ...(theirs !== undefined && { "pytorch, whole search": [theirs] }) },
    ...(theirs !== undefined && { ratios: { "lathe / pytorch": [ours / theirs] } }),
    notes: {
      engine,
      threads,
      "decided by shrinking after epoch": convergedEpoch || "none",
      lathe: "includes reading data, tracing, compilation, shrinks, validation and checkpoints",
      pytorch: python ? `${form}: steps and validation on a random batch in memory, without preparing data` : LEFT_OUT,
      "lathe outside epochs, s": Number(sum(rows.map(({ outside }) => outside)).toFixed(2)),
    },
    table: {
      columns: ["epoch", "operations", "candidates", "formulation", "lathe s", "outside s", "pytorch s"],
      rows: rows.map(({ epoch, operations, candidates, formulation, ...times }) => {
        const seconds = [times.seconds, times.outside, times.pytorch].map((each) => each?.toFixed(2) ?? "-");
        return [epoch, operations, candidates, formulation, ...seconds];
      }),
    },
    ...(python && { versions: python.versions }),
  };
}
