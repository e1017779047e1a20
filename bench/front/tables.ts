import { spreadOf } from "../../cli/experiment/report/summary";
import { dominators } from "../../shared/comparison/front";
import type { Measurement } from "../measurement";

/** A measured network. */
export interface Placed {
  /** Shared by the seeds of one kind of network. */
  name: string;
  file: string;
  /** 0 to 1. */
  miou: number;
  /** Median latency in milliseconds. */
  ms: number;
}

type Table = NonNullable<Measurement["table"]>;

/** For each network, the one of the Pareto front that dominates it; undefined for those on the front. */
export function above(placed: readonly Placed[]): (Placed | undefined)[] {
  const rated = placed.map(({ miou, ms }) => ({ miou, comparedSeconds: ms / 1000, isUnstable: false }));
  return dominators(rated).map((index) => (index === undefined ? undefined : placed[index]));
}

/** A row for each network, the fastest first. */
export function networks(placed: readonly Placed[]): Table {
  const sorted = [...placed].sort((one, other) => one.ms - other.ms);
  const by = above(sorted);
  return {
    columns: ["network", "file", "mIoU, %", "median, ms", "dominated by"],
    rows: sorted.map(({ name, file, miou, ms }, index) => [
      ...[name, file, (100 * miou).toFixed(1), ms.toFixed(2)],
      by[index]?.file ?? "",
    ]),
  };
}

/** A row for each name, in the order of the arguments: mean ± sample standard deviation over its networks. */
export function names(placed: readonly Placed[]): Table {
  return {
    columns: ["name", "networks", "mIoU, %", "median, ms"],
    rows: [...new Set(placed.map(({ name }) => name))].map((name) => {
      const own = placed.filter((one) => one.name === name);
      return [name, own.length, spread(own.map(({ miou }) => 100 * miou), 1), spread(own.map(({ ms }) => ms), 2)]; // prettier-ignore
    }),
  };
}

function spread(values: readonly number[], digits: number): string {
  const { mean, deviation } = spreadOf(values)!;
  return `${mean.toFixed(digits)}${deviation === undefined ? "" : ` ± ${deviation.toFixed(digits)}`}`;
}

/** Time of each network as a share of the slowest one's, per round: the speed of a machine may change between two rounds, but hardly within one. */
export function ratiosOf(
  rounds: readonly Readonly<Record<string, number>>[],
  placed: readonly Placed[],
): Record<string, number[]> {
  const slowest = placed.reduce((most, one) => (one.ms > most.ms ? one : most));
  const others = placed.filter((one) => one !== slowest);
  const share = (file: string) => rounds.map((round) => (round[file] ?? NaN) / (round[slowest.file] ?? NaN));
  return Object.fromEntries(others.map(({ file }) => [`${file} / ${slowest.file}`, share(file)]));
}
