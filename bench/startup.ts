import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../cli/stack/stack";
import { batches } from "../shared/data/batches";
import { openDataset, datasetOptions } from "../shared/data/open";
import { createEngine } from "../shared/engine/engine";
import { entry } from "../shared/process/entry";
import { LatheError } from "../shared/process/errors";
import { DatasetKind, SearchSpec } from "../shared/proto/lathe/v1/spec";
import { macsTable } from "../shared/space/cost";
import { searchStride } from "../shared/space/head";
import { resolve } from "../shared/spec/resolve";
import { openSupernetTrainer } from "../services/supernet/training/supernetTrainer";
import { initialSupernet } from "../services/supernet/training/supernetState";
import { stepOptions } from "../services/supernet/training/algorithms/ssr/train";
import { measuredApart, positive, type Measurement } from "./measurement";

/**
 * Measures start-up times: `lathe --help`, a local stack until its services serve, and a training process of preset small from its start
 * to its first steps. Arguments: --rounds, --threads. A first round, which reads the files from disk, is not counted.
 */
export async function startup(args: readonly string[]): Promise<Measurement> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: "string", default: "5" }, threads: { type: "string", default: "2" } },
  });
  const rounds = positive(values.rounds, "--rounds");
  const threads = positive(values.threads, "--threads");
  const series: Record<string, number[]> = {};
  for (let round = 0; round <= rounds; round++) {
    const found = { "lathe --help": await help(), "five services ready": await stack(), ...(await trainer(threads)) };
    if (round === 0) continue;
    for (const [name, ms] of Object.entries(found)) (series[name] ??= []).push(ms);
  }
  return {
    title: "start-up times, preset small",
    unit: "ms",
    series,
    notes: { threads, rounds: `${rounds}, after one uncounted round` },
  };
}

/** Milliseconds of `lathe --help`, from spawn to exit. */
async function help(): Promise<number> {
  const { path, execArgv } = entry(join(__dirname, "..", "cli"), "lathe");
  const started = performance.now();
  const child = spawn(process.execPath, [...execArgv, path, "--help"], { stdio: "ignore" });
  const code = await new Promise((settle, reject) => child.once("error", reject).once("exit", settle));
  if (code !== 0) throw new LatheError("INTERNAL", `lathe --help exits with ${String(code)}`);
  return performance.now() - started;
}

/** Milliseconds until nats-server and the five services of a local stack serve. */
async function stack(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "lathe-bench-"));
  const started = performance.now();
  try {
    const running = await startStack({ folder });
    const ms = performance.now() - started;
    await running.stop();
    return ms;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Milliseconds of a fresh training process, from fork to the end of its first pair of steps, and of its phases. */
async function trainer(threads: number): Promise<Record<string, number>> {
  const started = performance.now();
  const [measured] = await measuredApart({ name: "firstStep", args: [String(threads)] });
  const whole = performance.now() - started;
  const parts = Object.entries(measured?.series ?? {}).map(([name, values]) => [name, values[0] ?? NaN] as const);
  return { "trainer, fork to exit": whole, ...Object.fromEntries(parts) };
}

/** Runs in its own process: traces and compiles the graphs of preset small, then runs the first steps. Argument: threads. */
export async function firstStep([threads = "2"]: readonly string[]): Promise<Measurement[]> {
  const { spec, space } = resolve(
    SearchSpec.fromPartial({
      preset: "small",
      dataset: { kind: DatasetKind.DATASET_KIND_STREETS, trainExamples: 16, validationExamples: 8 },
    }),
  );
  const loaded = performance.now();
  const table = macsTable(space);
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: Number(threads) });
  const started = performance.now();
  const options = stepOptions({ spec, space, table }, new Float32Array(space.classes).fill(1));
  const session = await openSupernetTrainer(engine, initialSupernet(space, spec.seed), options);
  const compiled = performance.now();
  const dataset = await openDataset(datasetOptions(spec, space));
  const order = { batchSize: spec.training.batchSize, labelStride: searchStride(space), dropLast: true };
  const first = await batches(dataset.train, order)[Symbol.asyncIterator]().next();
  if (first.done === true) throw new LatheError("INTERNAL", "the data set has no batch");
  const read = performance.now();
  await session.weightStep(first.value, spec.training.weightLearningRate);
  await session.alphaStep?.(first.value, 1e-3, { ssrFactor: 1, costWeight: 1 });
  const stepped = performance.now();
  await session.release();
  await dataset.close();
  return [
    {
      title: "first step",
      unit: "ms",
      series: {
        // performance.now() counts from the start of the process.
        "trainer, modules loaded": [loaded],
        "trainer, trace and compile": [compiled - started],
        "trainer, first batch": [read - compiled],
        "trainer, first step pair": [stepped - read],
        "trainer, start to first step": [stepped],
      },
      notes: {},
    },
  ];
}
