import { type Outcome, judged } from "../../shared/process/checks";
import { relativeDifference } from "../../shared/engine/difference";
import type { Provider } from "../../shared/engine/engine";

/** A measured figure of a check, with the bound that it must not exceed. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  bound?: number;
}

/** The outcome of a check, with its figures. */
export interface Finding extends Outcome {
  figures: Figure[];
}

/** The device that is compared with the CPU, and the threads of both. */
export interface Setting {
  provider: Provider;
  threads: number;
}

/** Failed where a figure exceeds its bound or is no number. */
export function finding(figures: Figure[], detail: string, faults: readonly string[] = []): Finding {
  const exceeded = figures
    .filter(({ value, bound }) => bound !== undefined && !(value <= bound))
    .map(({ name, value, unit, bound }) => `${name} is ${value}${unit && ` ${unit}`}, must be at most ${bound}`);
  return { ...judged([...faults, ...exceeded], detail), figures };
}

/** Largest |a - b| as a share of the largest |b|; NaN where an element is no number, or the lengths differ. */
export const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  a.length === b.length ? relativeDifference(a, b) : NaN;
