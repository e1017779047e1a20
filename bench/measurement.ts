import { readFileSync } from "node:fs";
import { percentile } from "../services/latency/statistics";
import { LatheError } from "../shared/process/errors";
import { startWorker } from "../shared/process/worker";

/** The measurements of a benchmark: named series in one unit. */
export interface Measurement {
  title: string;
  unit: "ms" | "s" | "MB" | "1e-6";
  series: Record<string, number[]>;
  notes: Record<string, string | number>;
  /** Ratios per round or seed: the time or error of Lathe divided by that of the other side. */
  ratios?: Record<string, number[]>;
  /** Tables of measurements that are not series, such as a curve. */
  table?: { columns: string[]; rows: (string | number)[][] };
  /** Versions of the software that ran besides Lathe and ONNX Runtime. */
  versions?: Record<string, string>;
}

export interface Summary {
  n: number;
  min: number;
  p25: number;
  median: number;
  p75: number;
  p95: number;
  max: number;
}

/** Median and quantiles of a series by nearest rank, so that each is a measured value. */
export function summary(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => percentile(sorted, share);
  return {
    n: sorted.length,
    min: sorted[0] ?? NaN,
    p25: at(25),
    median: at(50),
    p75: at(75),
    p95: at(95),
    max: at(100),
  };
}

/** The median of a series by nearest rank. */
export function median(values: readonly number[]): number {
  return summary(values).median;
}

/** The whole number (at least 1) of a flag; INVALID_ARGUMENT names the flag. */
export function positive(text: string, flag: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new LatheError("INVALID_ARGUMENT", `${flag} is "${text}", must be a whole number from 1 to 999999`);
}

/** Resident memory of a process in MB of 2^20 bytes, or another field of its status, such as VmHWM. */
export function residentMegabytes(pid: number, field = "VmRSS"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1024);
}

/** Measurements that need their own process. */
export interface MeasuredJob {
  name: "step" | "search" | "retrain" | "cores" | "accuracy" | "firstStep";
  args: string[];
}

/** Runs a job in a process with the environment of the training process, which must be set at its start. */
export function measuredApart(job: MeasuredJob): Promise<Measurement[]> {
  const env = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" };
  return startWorker<MeasuredJob, never, Measurement[]>({ dir: __dirname, name: "worker", env }).run(job);
}
