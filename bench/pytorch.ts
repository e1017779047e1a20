import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LatheError } from "../shared/process/errors";
import { packageRoot } from "../shared/process/root";
import type { Manifest } from "../shared/engine/parameters";
import type { AlphaWeights, StepOptions } from "../services/supernet/training/supernetTrainer";
import type { SearchSpace } from "../shared/proto/lathe/v1/space";
import { searchStride } from "../shared/space/head";

/** The PyTorch side: a process that answers one request at a time and is idle in between. */
export interface PyTorch {
  readonly versions: { torch: string; python: string };
  /** Whether it sees a GPU. */
  readonly hasCuda: boolean;
  /** DEADLINE_EXCEEDED where the answer takes longer than a limit, which ends the process. */
  call<Answer>(call: string, request?: object, limitMs?: number): Promise<Answer>;
  close(): Promise<void>;
}

/** How the PyTorch side computes steps (class Mode in bench/pytorch/training.py). */
export interface Mode {
  device: "cpu" | "cuda";
  precision: "float32" | "tf32" | "bfloat16";
  layout: "contiguous" | "channels_last";
  compiled: boolean;
  /** Each step computes only the gradients of the parameters that it moves; else all, as the reference does. */
  frozen: boolean;
}

/** The python3 of PATH, then Debian's, for which the package python3-torch is built. */
const PYTHONS = ["python3", "/usr/bin/python3"];

/** Exit code of the server if it cannot import torch. */
const NO_TORCH = 3;

export const LEFT_OUT = "skipped: python3 cannot import torch (on Debian: apt-get install python3-torch)";

/** Starts the PyTorch side. If no python3 can import torch, prints a line to stderr and returns undefined. */
export async function openPyTorch(threads: number): Promise<PyTorch | undefined> {
  for (const python of PYTHONS) {
    const opened = await start(python, threads);
    if (opened) return opened;
  }
  console.error(`PyTorch is ${LEFT_OUT}`);
  return undefined;
}

async function start(python: string, threads: number): Promise<PyTorch | undefined> {
  const server = join(packageRoot(), "bench", "pytorch", "serve.py");
  // The mode decides on TF32 there.
  const { NVIDIA_TF32_OVERRIDE: _, ...env } = process.env;
  const child = spawn(python, ["-B", server, String(threads)], { stdio: ["pipe", "pipe", "pipe"], env });
  // The process has ended; its exit is reported instead.
  child.stdin.on("error", () => {});
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said = (said + chunk).slice(-4096)));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = endOf(child);
  const next = async (what: string): Promise<Record<string, unknown>> => {
    const line = await lines.next();
    if (line.done !== true) return JSON.parse(line.value) as Record<string, unknown>;
    throw new LatheError("UNAVAILABLE", `PyTorch (${python}) ended (${await ended}) at ${what}: ${said.trim()}`);
  };
  let hello: Record<string, unknown>;
  try {
    hello = await next("its start");
  } catch (error) {
    const exit = await ended;
    if (exit === NO_TORCH || exit === "ENOENT") return undefined;
    throw error;
  }
  return {
    versions: { torch: String(hello.torch), python: String(hello.python) },
    hasCuda: hello.cuda === true,
    call: async <Answer>(call: string, request: object = {}, limitMs?: number) => {
      let late = false;
      const end = () => (late = child.kill("SIGKILL"));
      const timer = limitMs === undefined ? undefined : setTimeout(end, limitMs);
      child.stdin.write(`${JSON.stringify({ ...request, call })}\n`);
      const answer = await next(`"${call}"`)
        .catch((error: unknown) => {
          if (!late) throw error;
          throw new LatheError("DEADLINE_EXCEEDED", `PyTorch's "${call}" took longer than ${limitMs} ms`);
        })
        .finally(() => clearTimeout(timer));
      if (typeof answer.error === "string")
        throw new LatheError("FAILED_PRECONDITION", `PyTorch rejects "${call}": ${answer.error}`);
      return answer as Answer;
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

function endOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
}

/** Encodes the bytes of a vector as base64. */
export function base64(values: Float32Array | Int32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}

/** Decodes base64 to a vector. */
export function fromBase64(text: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
}

/** A flat vector with the names, shapes and offsets of its tensors. */
export function namedTensors(values: Float32Array, { entries }: Manifest): { entries: object[]; values: string } {
  return { entries, values: base64(values) };
}

/** The description of a supernet and its steps for the PyTorch side, with the constants of Lathe. */
export function pytorchSettings(
  space: SearchSpace,
  { batchSize, weightDecay, classWeights, alpha }: StepOptions,
  { rates, ssrFactor, costWeight }: AlphaWeights & { rates: { weights: number; alphas: number } },
): object {
  return {
    space,
    batchSize,
    labelStride: searchStride(space),
    settings: {
      weightRate: rates.weights,
      weightDecay,
      alphaRate: rates.alphas,
      alphaDecay: alpha.weightDecay,
      ssr: alpha.ssr,
      ssrFactor,
      costWeight,
      table: alpha.table,
      largestCost: alpha.largestCost,
      target: alpha.target,
      classWeights: [...classWeights],
    },
  };
}
