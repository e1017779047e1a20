import { createEngine, type Engine } from "../../shared/engine/engine";
import type { Manifest } from "../../shared/engine/parameters";
import type { Precision } from "../../shared/engine/precision";
import { elementCount } from "../../shared/engine/signature";
import { openSupernetTrainer, type SupernetTrainer } from "../../services/supernet/training/supernetTrainer";
import { median, summary } from "../measurement";
import { usedMebibytes } from "./device";
import { difference, finding, type Figure, type Finding, type Setting } from "./finding";
import { trial, type Trial } from "./trials";

/** Bounds of losses and gradients, as shares; those of the low types are some 20 times their rounding. */
const BOUNDS: Record<Precision, number> = { float32: 1e-4, float16: 2e-2, bfloat16: 1.6e-1 };
const SEEDS = [1, 2, 3];
const RATES = { weights: 3e-4, alphas: 2e-3 };
const TERMS = { ssrFactor: 1, costWeight: 1 };

interface StepSetting extends Setting {
  precision: Precision;
}

/**
 * Compares both steps of supernet S on the device with the CPU's plain ones, at the initial state: losses, norms and the first moments, which
 * hold the gradients. Each figure is the median over three seeds: where a ReLU or pool decides otherwise, all gradients move by far more
 * than rounding does.
 */
export async function agreement({ provider, threads, precision }: StepSetting): Promise<Finding> {
  const { tileSize: _, ...plain } = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  const device = await createEngine({ engine: "onnxruntime", provider, threads, precision });
  const apart: Record<string, number[]> = {};
  for (const seed of SEEDS) {
    const want = await firstPair(plain, trial("S", seed));
    const got = await firstPair(device, trial("S", seed));
    const add = (name: string, value: number) => (apart[name] ??= []).push(value);
    for (const [name, scalar] of Object.entries(want.scalars))
      add(name, Math.abs(got.scalars[name]! - scalar) / Math.max(1, Math.abs(scalar)));
    for (const [name, tensors] of Object.entries(want.gradients))
      add(`${name}, median tensor`, median(tensors.map((tensor, at) => difference(got.gradients[name]![at]!, tensor))));
  }
  const figures: Figure[] = Object.entries(apart).map(([name, values]) => ({
    ...{ name: `${precision}: ${name}`, value: median(values), unit: "", bound: BOUNDS[precision] },
  }));
  return finding(figures, `${device.name} against ${plain.name}, size S, plain formulation`);
}

/** A rate of 0 leaves the state as it is, so both gradients are those of the same weights. */
async function firstPair(engine: Engine, { start, options, batch }: Trial) {
  const { supernet } = start;
  const trainer = await openSupernetTrainer(engine, start, options);
  const alpha = await trainer.alphaStep!(batch, 0, TERMS);
  const weights = await trainer.weightStep(batch, 0);
  const { weights: w, alphas: a } = trainer.state();
  const gradients = {
    "gradient of the weights": tensorsOf(w.m, supernet.weights),
    "gradient of the alphas": tensorsOf(a.m, supernet.alphas),
  };
  await trainer.release();
  const scalars: Record<string, number> = {
    ...{ "loss of the weights": weights.loss, "norm of the weights' gradient": weights.norm },
    ...{ "loss of the alphas": alpha.loss, "SSR term": alpha.ssr, "cost term": alpha.cost },
    ...{ "norm of the alphas' gradient": alpha.norm },
  };
  return { scalars, gradients: gradients as Record<string, Float32Array[]> };
}

function tensorsOf(vector: Float32Array, { entries }: Manifest): Float32Array[] {
  return entries.map(({ offset, shape }) => vector.slice(offset, offset + elementCount(shape)));
}

/** Milliseconds of both steps of a supernet on the device, Adam and all copies included, and its memory beside the estimate. */
export async function stepTimes({
  provider,
  threads,
  precision,
  size,
  pairs,
}: StepSetting & { size: "S" | "L" | "paper"; pairs: number }): Promise<Finding> {
  const engine = await createEngine({ engine: "onnxruntime", provider, threads, precision });
  const { start, options, batch } = trial(size);
  const before = usedMebibytes();
  const trainer = await openSupernetTrainer(engine, start, options);
  const ms: Record<"weights" | "alphas" | "pair", number[]> = { weights: [], alphas: [], pair: [] };
  let first: number | undefined;
  for (let at = 0; at < WARM_UP + pairs; at++) {
    const { weights, alphas, loss } = await timedPair(trainer, batch);
    first ??= loss;
    if (at < WARM_UP) continue;
    ms.weights.push(weights);
    ms.alphas.push(alphas);
    ms.pair.push(weights + alphas);
  }
  const after = usedMebibytes();
  const estimate = (engine.heldBytes?.() ?? 0) / 2 ** 20;
  await trainer.release();
  const named = `${size}, ${precision}`;
  const figures: Figure[] = Object.entries(ms).flatMap(([name, values]) => {
    const { median: middle, p25, p75 } = summary(values);
    return [
      { name: `${named}: ${name}, median`, value: middle, unit: "ms" },
      { name: `${named}: ${name}, middle half`, value: p75 - p25, unit: "ms" },
    ];
  });
  if (before !== undefined && after !== undefined)
    figures.push({ name: `${named}: memory of the device`, value: after - before, unit: "MiB" });
  figures.push({ name: `${named}: loss of the first step`, value: first ?? NaN, unit: "" });
  figures.push({ name: `${named}: memory by estimate`, value: estimate, unit: "MiB" });
  figures.push({ name: `${named}: trace and compile`, value: trainer.compiled.seconds, unit: "s" });
  return finding(figures, `${engine.name}, ${trainer.compiled.formulation}, ${pairs} pairs after ${WARM_UP}`);
}

/** The first pairs of a session, in which its memory arena grows and cuDNN chooses its algorithms. */
const WARM_UP = 3;

async function timedPair(trainer: SupernetTrainer, batch: Trial["batch"]) {
  const started = performance.now();
  const { loss } = await trainer.weightStep(batch, RATES.weights);
  const between = performance.now();
  await trainer.alphaStep!(batch, RATES.alphas, TERMS);
  return { weights: between - started, alphas: performance.now() - between, loss };
}
