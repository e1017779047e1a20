import { readFileSync } from "node:fs";

/** Resident memory of a process in MiB; its children are not counted. */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) / 1024;
}

/** Fewer rounds than this say nothing about growth. */
const ROUNDS_TO_JUDGE = 9;
/** Memory may grow between two samples after garbage is collected by this share and this number of MiB. */
export const GROWTH = { share: 0.1, mib: 8 };

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The fault of a curve of one sample a round; undefined unless the last third is larger than the middle one by more than GROWTH. */
export function growthFault(samples: readonly number[]): string | undefined {
  if (samples.length < ROUNDS_TO_JUDGE) return undefined;
  const third = Math.floor(samples.length / 3);
  const middle = mean(samples.slice(-2 * third, -third));
  const last = mean(samples.slice(-third));
  const bound = middle * (1 + GROWTH.share) + GROWTH.mib;
  if (last <= bound) return undefined;
  return `memory grows: ${middle.toFixed(0)} MiB in the middle third of the rounds, ${last.toFixed(0)} MiB in the last, at most ${bound.toFixed(0)} MiB may be`;
}
