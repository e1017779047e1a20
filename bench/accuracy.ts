import { parseArgs } from "node:util";
import { createEngine, type Engine, type EngineOptions } from "../shared/engine/engine";
import { LatheError } from "../shared/process/errors";
import { buildSupernet } from "../shared/network/supernet";
import { initialArchitecture } from "../shared/space/groups";
import { drawTrial, IMAGES, type Trial } from "./accuracy/draw";
import { tensorErrors, wholeError } from "./accuracy/errors";
import { openSide, type Gradients, type Side } from "./accuracy/sides";
import { median, positive, type Measurement } from "./measurement";
import { LEFT_OUT, openPyTorch, type PyTorch } from "./pytorch";
import { SIZES, sizesNamed, sizeText, spaceOf, type Size } from "./sizes";

/** Engines that are measured where this machine has them. */
const ENGINES: Pick<EngineOptions, "engine" | "provider">[] = [
  { engine: "onnxruntime", provider: "cpu" },
  { engine: "onnxruntime", provider: "cuda" },
  { engine: "tensorflow", provider: "cpu" },
];

/**
 * A run whose gradient of all weights is further off than this has decided a ReLU or a pooling otherwise than the oracle: rounding alone
 * gives some 1e-6, one decision about 1e-3.
 */
const FLIPPED = 1e-4;

const PYTORCH = "pytorch float32";

/**
 * Measures how far the gradients of a supernet's cross entropy are from those that PyTorch computes in float64, for each engine at hand and
 * each formulation, and for PyTorch in float32. An error is the norm of the difference, relative to the norm of the oracle's gradient.
 * Arguments: sizes S and L (default: both); --seeds, each with its own weights and batch, for noise and for smooth images; --threads.
 */
export async function accuracy(args: readonly string[]): Promise<Measurement[]> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { seeds: { type: "string", default: "20" }, threads: { type: "string", default: "2" } },
  });
  const seeds = positive(values.seeds, "--seeds");
  const threads = positive(values.threads, "--threads");
  const sizes = sizesNamed(positionals);
  const python = await openPyTorch(threads);
  if (!python)
    throw new LatheError("FAILED_PRECONDITION", `the oracle of the gradients is PyTorch, which is ${LEFT_OUT}`);
  const { engines, absent } = await enginesAtHand(threads);
  const measurements: Measurement[] = [];
  try {
    for (const size of sizes) {
      const sides = await openSides(engines, size);
      for (const images of IMAGES) {
        const { series, ratios, table } = await measure(size, images, seeds, sides, python);
        measurements.push({
          title: `errors of gradients against float64, ${images} images, ${sizeText(size)}`,
          unit: "1e-6",
          ...{ series, ratios, table },
          notes: { threads, seeds, ...(absent.length > 0 && { "not at hand": absent.join(", ") }) },
          versions: python.versions,
        });
      }
      for (const side of sides) await side.release();
    }
  } finally {
    await python.close();
  }
  return measurements;
}

/** The engines that this machine has, and the names of those that it lacks. */
async function enginesAtHand(threads: number): Promise<{ engines: Engine[]; absent: string[] }> {
  const engines: Engine[] = [];
  const absent: string[] = [];
  for (const each of ENGINES)
    try {
      engines.push(await createEngine({ ...each, threads }));
    } catch (error) {
      if (LatheError.from(error).reason !== "ENGINE_UNAVAILABLE") throw error;
      absent.push(`${each.engine}/${each.provider}`);
    }
  return { engines, absent };
}

/** Both formulations on an engine that has the blocked layout, the plain one on the others. */
async function openSides(engines: readonly Engine[], size: Size): Promise<Side[]> {
  const space = spaceOf(size);
  const supernet = buildSupernet(space, initialArchitecture(space));
  const sides: Side[] = [];
  for (const engine of engines) {
    const { tileSize: _, ...plain } = engine;
    for (const each of engine.tileSize === undefined ? [engine] : [engine, plain])
      sides.push(await openSide(each, supernet, SIZES[size].batchSize));
  }
  return sides;
}

async function measure(
  size: Size,
  images: Trial["images"],
  seeds: number,
  sides: readonly Side[],
  python: PyTorch,
): Promise<Required<Pick<Measurement, "series" | "ratios" | "table">>> {
  const series: Record<string, number[]> = {};
  const ratios: Record<string, number[]> = {};
  const flips: Record<string, number> = {};
  for (let seed = 1; seed <= seeds; seed++) {
    const trial = drawTrial(size, images, seed);
    const oracle = await theirs(python, trial, "float64");
    const errors = (name: string, gradients: Gradients): number => {
      const { weights, alphas } = trial.supernet;
      const tensors = [
        ...tensorErrors(gradients.weights, oracle.weights, weights),
        ...tensorErrors(gradients.alphas, oracle.alphas, alphas),
      ];
      const whole = wholeError(gradients.weights, oracle.weights);
      const found = {
        "median tensor": median(tensors),
        "worst tensor": Math.max(...tensors),
        "all weights": whole,
        "all alphas": wholeError(gradients.alphas, oracle.alphas),
      };
      for (const [what, error] of Object.entries(found)) (series[`${name}, ${what}`] ??= []).push(error * 1e6);
      flips[name] = (flips[name] ?? 0) + (whole > FLIPPED ? 1 : 0);
      return found["median tensor"];
    };
    const reference = errors(PYTORCH, await theirs(python, trial, "float32"));
    for (const side of sides) {
      const mine = errors(side.name, await side.gradients(trial));
      (ratios[`${side.name} / ${PYTORCH}, median tensor`] ??= []).push(mine / reference);
    }
  }
  const rows = Object.entries(flips).map(([name, count]) => [name, `${count} of ${seeds}`]);
  return { series, ratios, table: { columns: ["", `runs with an error of all weights above ${FLIPPED}`], rows } };
}

/** The gradients of a trial that PyTorch computes in a precision. */
async function theirs(python: PyTorch, trial: Trial, precision: "float32" | "float64"): Promise<Gradients> {
  const { weights, alphas } = await python.call<{ weights: string; alphas: string }>("gradients", {
    ...trial.request,
    precision,
  });
  return { weights: doubles(weights), alphas: doubles(alphas) };
}

function doubles(text: string): Float64Array {
  return new Float64Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
}
