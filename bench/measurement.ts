import { percentile } from "../services/latency/measure";
import { LatheError } from "../shared/process/errors";

/** What a benchmark measured: named series in one unit. */
export interface Measurement {
  title: string;
  unit: "ms" | "s" | "MB";
  series: Record<string, number[]>;
  notes: Record<string, string | number>;
  /** Series without a unit, one value a round: our time over the other's. */
  ratios?: Record<string, number[]>;
  /** What is no series: a curve, beside each value what it belongs to. */
  table?: { columns: string[]; rows: (string | number)[][] };
  /** Of what ran beside Lathe and ONNX Runtime. */
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

/** Median and spread of a series, by nearest rank: each is a value that was measured. */
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

/** The median of a series, as in its summary. */
export function median(values: readonly number[]): number {
  return summary(values).median;
}

/** A flag's whole number of at least 1; INVALID_ARGUMENT names the flag. */
export function positive(text: string, flag: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new LatheError("INVALID_ARGUMENT", `${flag} is "${text}", must be a whole number from 1 to 999999`);
}

/** What is measured in a process of its own. */
export interface MeasuredJob {
  name: "step" | "search" | "firstStep";
  args: string[];
}
