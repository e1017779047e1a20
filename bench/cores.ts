import { parseArgs } from "node:util";
import { readSpec } from "../cli/spec/specFlags";
import { stepMacs } from "../services/supernet/training/memory";
import { retrain } from "../services/supernet/training/retrain";
import { type SearchJob } from "../services/supernet/training/algorithms/search";
import { createEngine, type Engine } from "../shared/engine/engine";
import { conv2d } from "../shared/engine/ops/conv2d";
import { tf } from "../shared/engine/tf";
import type { SupernetConverged } from "../shared/proto/lathe/v1/events";
import { macsTable } from "../shared/space/cost";
import { derive } from "../shared/space/genotype";
import { isConverged } from "../shared/space/groups";
import { liveHead, liveStages } from "../shared/space/live";
import { networkCosts } from "../shared/space/networkCosts";
import { resolve } from "../shared/spec/resolve";
import { positive, type Measurement } from "./measurement";
import { meter, type Spent } from "./meter";
import { nowhere, runSearch } from "./searchRun";

/** An epoch whose parts are listed; macs: MACs of a run of each step. */
interface Listed {
  title: string;
  spent: ReadonlyMap<string, Spent>;
  macs: Readonly<Record<string, number>>;
}

/** Retraining runs so many epochs, of which the last is listed. The first one waits for the images. */
const RETRAINED = 3;

/**
 * Where every core-second of an epoch goes: the first epoch of a search, its second, the first one in which every group is decided, and an
 * epoch of retraining the network found. Steps are compared with the rate of a large convolution. Arguments: --preset (default small), --data
 * folder of CamVid (default: generated streets), --threads.
 */
export async function cores(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      preset: { type: "string", default: "small" },
      data: { type: "string" },
      threads: { type: "string", default: "2" },
    },
  });
  const threads = positive(values.threads, "--threads");
  const { data, preset } = values;
  const dataset = data === undefined ? "streets" : "camvid";
  const { spec, space } = resolve(readSpec({ preset, dataset, ...(data !== undefined && { data }) }));
  const job: SearchJob = { spec, space, table: macsTable(space) };
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  const peak = await peakRate(engine);
  const { epochs, converged } = await searchEpochs(engine, job);
  const listed = [...epochs, await retrainingEpoch(engine, job, converged)];
  return listed.map((one) => ({
    title: `${one.title}, preset ${preset} on ${dataset}`,
    unit: "s",
    series: {},
    notes: {
      engine: engine.name,
      threads,
      "rate of a large convolution": `${peak.toFixed(0)} GFLOP/s`,
      "processor time": "of the whole process, with the thread that reads images",
    },
    table: tableOf(one, threads, peak),
  }));
}

async function searchEpochs(engine: Engine, job: SearchJob) {
  const { space } = job;
  const metered = meter(engine);
  const epochs: Listed[] = [];
  let decided = false;
  const converged = await runSearch(metered.engine, job, {
    completed: ({ metrics: { epoch }, architecture }) => {
      const spent = metered.take();
      const first = !decided && isConverged(architecture);
      decided ||= first;
      const supernet = { stages: liveStages(space, architecture), head: liveHead(space, architecture) };
      const macs = Object.fromEntries(
        ["weights", "alphas", "evaluate"].map((step) => [step, stepMacs(step, job, supernet)]),
      );
      const title = `search epoch ${epoch}${first ? ", the first that is decided" : ""}`;
      if (epoch <= 2 || first) epochs.push({ title, spent, macs });
      return Promise.resolve();
    },
  });
  return { epochs, converged };
}

async function retrainingEpoch(engine: Engine, job: SearchJob, { architecture }: SupernetConverged): Promise<Listed> {
  if (!architecture) throw new Error("the search ended without an architecture");
  const { genotype } = derive(job.space, architecture);
  const { pyramidChannels, batchSize } = job.spec.retraining;
  const brief = { epochs: RETRAINED, validateEvery: 1, inheritWeights: false };
  const spec = { ...job.spec, retraining: { ...job.spec.retraining, ...brief } };
  const metered = meter(engine);
  let spent: ReadonlyMap<string, Spent> = new Map();
  await retrain(
    metered.engine,
    { spec, genotype },
    {
      storeCheckpoint: () => Promise.resolve(nowhere),
      completeRetrainingEpoch: () => Promise.resolve(void (spent = metered.take())),
      store: () => Promise.resolve(nowhere),
      raise: () => Promise.resolve(),
      progress: () => undefined,
      signal: new AbortController().signal,
    },
  );
  const forward = networkCosts(genotype, { kind: "aggregation", pyramidChannels }).macs * batchSize;
  return { title: `retraining epoch ${RETRAINED}`, spent, macs: { retraining: 3 * forward, evaluate: forward } };
}

function tableOf({ spent, macs }: Listed, threads: number, peak: number): NonNullable<Measurement["table"]> {
  const all = [...spent].reduce(
    (sum, [, { seconds, processor }]) => ({ seconds: sum.seconds + seconds, processor: sum.processor + processor }),
    { seconds: 0, processor: 0 },
  );
  const row = (name: string, runs: number | string, { seconds, processor }: Omit<Spent, "runs">) => [
    ...[name, runs, seconds.toFixed(2), ((100 * seconds) / all.seconds).toFixed(0)],
    ...[processor.toFixed(2), Math.max(0, threads * seconds - processor).toFixed(2)],
  ];
  const rows = [...spent].map(([name, part]) => {
    const flop = 2 * (macs[name] ?? 0) * part.runs;
    const rate = flop / part.seconds / 1e9;
    const worked = flop === 0 ? ["", ""] : [(flop / 1e9).toFixed(1), ((100 * rate) / peak).toFixed(0)];
    return [...row(name, part.runs, part), ...worked];
  });
  return {
    columns: ["part", "runs", "s", "%", "core-seconds", "idle", "GFLOP", "% of the rate"],
    rows: [...rows, [...row("all", "", all), "", ""]],
  };
}

/** GFLOP/s of a 3x3 convolution of 128 channels at 64x64, batch 8: the fastest of 12 runs of 6 convolutions. */
async function peakRate(engine: Engine): Promise<number> {
  const [channels, size, batch, layers, runs] = [128, 64, 8, 6, 12];
  const step = await engine.compile(
    ({ x, w }) => {
      let y = x as tf.Tensor;
      for (let layer = 0; layer < layers; layer++) y = conv2d(y, w as tf.Tensor);
      return { y: tf.max(y) };
    },
    {
      x: { shape: [batch, channels, size, size], dtype: "float32" },
      w: { shape: [channels, channels, 3, 3], dtype: "float32" },
    },
    "peak",
  );
  const inputs = {
    x: new Float32Array(batch * channels * size * size).fill(0.5),
    w: new Float32Array(channels * channels * 9).fill(0.001),
  };
  let shortest = Infinity;
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    await step.run(inputs);
    shortest = Math.min(shortest, (performance.now() - started) / 1000);
  }
  await step.release();
  return (2 * layers * batch * channels * channels * 9 * size * size) / shortest / 1e9;
}
