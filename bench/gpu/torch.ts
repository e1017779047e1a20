import { LatheError } from "../../shared/process/errors";
import { median } from "../measurement";
import { LEFT_OUT, openPyTorch, type Mode, type PyTorch } from "../pytorch";
import { stepsRequest } from "../step";
import { leftOut } from "../../shared/process/checks";
import { finding, type Figure, type Finding } from "./finding";
import { trial } from "./trials";

/** Uncounted pairs, in which cuDNN searches its convolutions and torch.compile compiles. */
const WARM_UP = 3;

export interface TorchSetting {
  size: "S" | "L" | "paper";
  modes: readonly Mode[];
  pairs: number;
  threads: number;
  /** When the process is ended, in ms of Date.now(): torch.compile takes minutes where it does not end before. */
  endsAt: number;
}

/**
 * Milliseconds of both steps of the same supernet, weights and batch in PyTorch, by mode. As in Lathe's steps, the batch is copied to the
 * device. A mode for which memory or time does not suffice is named; left out where python3 has no PyTorch for the device.
 */
export async function pytorchSteps({ size, modes, pairs, threads, endsAt }: TorchSetting): Promise<Finding> {
  const python = await openPyTorch(threads);
  if (!python) return { ...leftOut(LEFT_OUT), figures: [] };
  const { torch } = python.versions;
  try {
    if (!python.hasCuda && modes.some(({ device }) => device === "cuda"))
      return { ...leftOut(`python3's PyTorch ${torch} sees no GPU: take one for CUDA`), figures: [] };
    const request = stepsRequest(trial(size));
    const figures: Figure[] = [];
    const without: string[] = [];
    for (const mode of modes)
      try {
        figures.push(...(await timed(python, { ...request, mode }, `${size}, ${named(mode)}`, pairs, endsAt)));
      } catch (error) {
        const why = reason(LatheError.from(error));
        if (why === undefined) throw error;
        without.push(`${named(mode)}: ${why}`);
        if (Date.now() >= endsAt) break;
      }
    const text = [`PyTorch ${torch}, ${pairs} pairs after ${WARM_UP}`, ...without].join("; ");
    return figures.length === 0 ? { ...leftOut(text), figures } : finding(figures, text);
  } finally {
    await python.close();
  }
}

interface Pair {
  ms: { weights: number; alpha: number };
  loss: number;
}

async function timed(python: PyTorch, request: object, name: string, pairs: number, endsAt: number): Promise<Figure[]> {
  const call = <Answer>(what: string, given?: object) =>
    python.call<Answer>(what, given, Math.max(0, endsAt - Date.now()));
  const started = performance.now();
  await call("init", request);
  const first = await call<Pair>("pair");
  for (let at = 1; at < WARM_UP; at++) await call<Pair>("pair");
  const seconds = (performance.now() - started) / 1000;
  const ms: Record<"weights" | "alphas" | "pair", number[]> = { weights: [], alphas: [], pair: [] };
  for (let at = 0; at < pairs; at++) {
    const { weights, alpha } = (await call<Pair>("pair")).ms;
    ms.weights.push(weights);
    ms.alphas.push(alpha);
    ms.pair.push(weights + alpha);
  }
  return [
    ...Object.entries(ms).map(([part, values]) => ({
      ...{ name: `${name}: ${part}, median`, value: median(values), unit: "ms" },
    })),
    { name: `${name}: loss of the first step`, value: first.loss, unit: "" },
    { name: `${name}: until the first counted pair`, value: seconds, unit: "s" },
  ];
}

function named({ precision, layout, compiled }: Mode): string {
  const how = compiled ? "compiled" : layout === "channels_last" ? "channels_last" : "eager";
  return `PyTorch ${how}, ${precision}`;
}

/** Why a mode has no figures although nothing is broken. */
function reason({ code, message }: LatheError): string | undefined {
  if (code === "DEADLINE_EXCEEDED") return "not within --seconds";
  return /out of memory/i.test(message) ? "out of memory" : undefined;
}
