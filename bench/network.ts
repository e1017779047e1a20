import { parseArgs } from "node:util";
import { openOnnx, type OnnxModel } from "../shared/engine/onnx";
import { view } from "../shared/engine/parameters";
import { createRandom, type Random } from "../shared/engine/random";
import { buildDiscrete, type DiscreteNetwork } from "../shared/network/discrete";
import { networkOnnx, type NetworkParameters } from "../shared/network/export";
import { initialStats, initialWeights } from "../shared/network/initialise";
import { LatheError } from "../shared/process/errors";
import { packageRoot } from "../shared/process/root";
import type { Head } from "../shared/space/head";
import { factorized } from "../shared/space/kinds/factorized";
import { kindOf } from "../shared/space/kinds/kinds";
import type { Genotype } from "../shared/proto/lathe/v1/space";
import { networkCosts } from "../shared/space/networkCosts";
import { readGenotype } from "../cli/spec/networkBuild";
import { median, positive, type Measurement } from "./measurement";
import { base64, fromBase64, LEFT_OUT, namedTensors, openPyTorch, type PyTorch } from "./pytorch";

/** Pyramid channels of the reference implementation's aggregation block. */
export const PYRAMID = 40;
export const THREADS = [1, 2];
/** Tolerance of logits, as a share of the largest logit. One side folds batch norms into convolutions, the other does not. */
const TOLERANCE = 1e-4;
/** Approximate duration of a turn in milliseconds, and its minimum number of runs. */
const TURN_MS = 400;
const TURN_RUNS = 4;

/** A network similar to those that preset small finds on CamVid. */
export const SMALL: Genotype = {
  inputHeight: 96,
  inputWidth: 128,
  classes: 11,
  stemChannels: 8,
  stages: [
    { channels: 16, blocks: [{ dilation: 1, scale: 1, middleWidth: 16, outputWidth: 14 }] },
    {
      channels: 32,
      blocks: [
        { dilation: 2, scale: 1, middleWidth: 32, outputWidth: 28 },
        { dilation: 4, scale: 1, middleWidth: 28, outputWidth: 32 },
        { dilation: 2, scale: 2, middleWidth: 24, outputWidth: 32 },
      ],
    },
  ],
};

/**
 * Measures the batch-1 latency of the network of a genotype at 1 and 2 threads, in turns: the ONNX of Lathe and the ONNX of
 * torch.onnx.export, both in ONNX Runtime with the same options, and PyTorch eager. First checks on one image that all three compute the
 * same. Arguments: --genotype file (default: the paper's network and a small one); --head aggregation or search; --rounds.
 */
export async function network(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      genotype: { type: "string" },
      head: { type: "string", default: "aggregation" },
      rounds: { type: "string", default: "8" },
    },
  });
  const rounds = positive(values.rounds, "--rounds");
  if (values.head !== "aggregation" && values.head !== "search")
    throw new LatheError("INVALID_ARGUMENT", `--head is "${values.head}", must be aggregation or search`);
  const head: Head =
    values.head === "search" ? { kind: "search" } : { kind: "aggregation", pyramidChannels: PYRAMID, dropout: 0 };
  const paper = `${packageRoot()}/docs/examples/networks/paper.json`;
  const genotypes =
    values.genotype === undefined
      ? { paper: readGenotype({ file: paper }), small: SMALL }
      : { [values.genotype]: readGenotype({ file: values.genotype }) };
  for (const [name, { stages }] of Object.entries(genotypes))
    if (stages.length !== 2 || stages.some(({ blocks }) => blocks.some((block) => kindOf(block) !== factorized)))
      throw new LatheError(
        "INVALID_ARGUMENT",
        `${name} has other operations than factorized ones, or ${stages.length} stages: the PyTorch side knows two stages of factorized ones`,
      );
  const python = await openPyTorch(1);
  try {
    const measurements: Measurement[] = [];
    for (const [name, genotype] of Object.entries(genotypes))
      measurements.push(await measure(name, buildDiscrete(genotype, head), rounds, python));
    return measurements;
  } finally {
    await python?.close();
  }
}

async function measure(
  name: string,
  built: DiscreteNetwork,
  rounds: number,
  python: PyTorch | undefined,
): Promise<Measurement> {
  const { genotype, head } = built;
  const random = createRandom(1, "bench");
  const parameters = drawn(built, random);
  const image = Float32Array.from({ length: 3 * genotype.inputHeight * genotype.inputWidth }, () => random.next());
  const models: Record<string, Uint8Array> = { lathe: networkOnnx(built, parameters, []) };
  const theirs = python && (await buildTheirs(python, built, parameters, image));
  if (theirs) models["torch.onnx.export"] = theirs.onnx;
  const series: Record<string, number[]> = {};
  const ratios: Record<string, number[]> = {};
  let apart = 0;
  for (const threads of THREADS) {
    const opened = await Promise.all(
      Object.entries(models).map(
        async ([side, bytes]) => [side, await openOnnx(bytes, { provider: "cpu", threads })] as const,
      ),
    );
    const sides: Record<string, (runs: number) => Promise<number[]>> = {};
    for (const [side, model] of opened) {
      const logits = await firstLogits(model, image);
      if (theirs) apart = Math.max(apart, agree(side, logits, theirs.logits));
      // Into a preallocated array.
      sides[side] = timed(() => model.run({ image }, { logits }));
    }
    if (python)
      sides["pytorch eager"] = async (runs) => (await python.call<{ ms: number[] }>("run", { runs, threads })).ms;
    const medians = await inTurns(sides, rounds, (side, ms) =>
      (series[`${side}, ${threads} threads`] ??= []).push(...ms),
    );
    if (python)
      ratios[`lathe / faster of the others, ${threads} threads`] = medians.map(
        ({ lathe = NaN, ...others }) => lathe / Math.min(...Object.values(others)),
      );
    for (const [, model] of opened) await model.release();
  }
  const { macs, params } = networkCosts(genotype, head);
  return {
    title: `network ${name}, ${head.kind} head, batch 1, ${genotype.inputHeight}x${genotype.inputWidth}`,
    unit: "ms",
    series,
    ratios,
    notes: {
      "MACs, M": Number((macs / 1e6).toFixed(1)),
      "parameters, k": Number((params / 1e3).toFixed(1)),
      rounds,
      ...(python && { "largest difference of logits, as a share of the largest logit": apart.toExponential(1) }),
      ...(!python && { pytorch: LEFT_OUT }),
    },
    ...(python && { versions: python.versions }),
  };
}

/** Initial weights with all norms different from the identity, so that a swapped norm changes the logits. */
export function drawn(network: DiscreteNetwork, random: Random): NetworkParameters {
  const [weights, stats] = [initialWeights(network.weights, random), initialStats(network.stats)];
  for (const [buffer, manifest] of [
    [weights, network.weights],
    [stats, network.stats],
  ] as const)
    for (const { name } of manifest.entries)
      if (/\/(gamma|beta|mean|variance)$/.test(name))
        view(buffer, manifest, name).forEach((value, at, values) => (values[at] = value + 0.4 * random.next() - 0.2));
  return { weights, stats };
}

async function buildTheirs(
  python: PyTorch,
  { genotype, head, ...network }: DiscreteNetwork,
  { weights, stats }: NetworkParameters,
  image: Float32Array,
): Promise<{ logits: Float32Array; onnx: Uint8Array }> {
  const { logits, onnx } = await python.call<{ logits: string; onnx: string }>("build", {
    genotype,
    head,
    weights: namedTensors(weights, network.weights),
    stats: namedTensors(stats, network.stats),
    image: base64(image),
  });
  return { logits: fromBase64(logits), onnx: new Uint8Array(Buffer.from(onnx, "base64")) };
}

async function firstLogits(model: OnnxModel, image: Float32Array): Promise<Float32Array> {
  const { logits } = await model.run({ image });
  if (logits instanceof Float32Array) return logits;
  throw new LatheError("INTERNAL", "the exported network has no float32 logits");
}

/** A side of inTurns: measures each run in milliseconds. */
export function timed(run: () => Promise<unknown>): (runs: number) => Promise<number[]> {
  return async (runs) => {
    const ms: number[] = [];
    for (let at = 0; at < runs; at++) {
      const started = performance.now();
      await run();
      ms.push(performance.now() - started);
    }
    return ms;
  };
}

/** The largest difference from PyTorch's logits, as a share of the largest logit. FAILED_PRECONDITION if it exceeds rounding errors. */
function agree(side: string, logits: Float32Array, reference: Float32Array): number {
  const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const apart =
    logits.reduce((most, value, at) => Math.max(most, Math.abs(value - (reference[at] ?? NaN))), 0) / largest;
  if (logits.length === reference.length && apart <= TOLERANCE) return apart;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `${side} and PyTorch eager compute different results: ${logits.length} and ${reference.length} logits, difference ${apart} of the largest`,
  );
}

/** Runs rounds of one turn per side after warm-up turns. Passes the runs of each turn to `take` and returns the medians by side. */
export async function inTurns(
  sides: Record<string, (runs: number) => Promise<number[]>>,
  rounds: number,
  take: (side: string, ms: number[]) => void,
): Promise<Record<string, number>[]> {
  const runs: Record<string, number> = {};
  for (const [side, run] of Object.entries(sides)) {
    await run(TURN_RUNS);
    runs[side] = Math.max(TURN_RUNS, Math.ceil(TURN_MS / median(await run(TURN_RUNS))));
  }
  const medians: Record<string, number>[] = [];
  for (let round = 0; round < rounds; round++) {
    const row: Record<string, number> = {};
    for (const [side, run] of Object.entries(sides)) {
      // The first run of a turn starts with the caches of the other sides.
      const [, ...ms] = await run((runs[side] ?? TURN_RUNS) + 1);
      take(side, ms);
      row[side] = median(ms);
    }
    medians.push(row);
  }
  return medians;
}
