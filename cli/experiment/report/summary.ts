import type { CellRecord, ResultName } from "./cells";

/** Mean and spread of a sample. */
export interface Spread {
  n: number;
  mean: number;
  /** Sample standard deviation (n - 1); undefined for one value. */
  deviation: number | undefined;
  min: number;
  max: number;
}

/** Mean and spread of the defined values; undefined if there are none. */
export function spreadOf(values: readonly (number | undefined)[]): Spread | undefined {
  const there = values.filter((value) => value !== undefined);
  const n = there.length;
  if (n === 0) return undefined;
  const mean = there.reduce((sum, value) => sum + value, 0) / n;
  // Two passes, because the difference of sums of squares loses digits when the spread is small.
  const squares = there.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = n > 1 ? Math.sqrt(squares / (n - 1)) : undefined;
  return { n, mean, deviation, min: Math.min(...there), max: Math.max(...there) };
}

/** Cells that differ only in their seed. */
export interface Group {
  /** Label that distinguishes the group from the others of the experiment. */
  label: string;
  /** The label without the target. */
  kind: string;
  algorithm: string;
  variant: string | undefined;
  target: number;
  cells: CellRecord[];
  finished: number;
  results: Partial<Record<ResultName, Spread>>;
}

/** The groups of an experiment in the order of its grid, each with the mean and spread of every result that its cells have. */
export function summarize(cells: readonly CellRecord[]): Group[] {
  const groups = new Map<string, CellRecord[]>();
  for (const cell of cells) {
    const key = JSON.stringify([cell.algorithm, cell.variant ?? null, cell.target]);
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  const values = (pick: (cell: CellRecord) => unknown) => new Set(cells.map(pick)).size;
  const several = { algorithms: values(({ algorithm }) => algorithm) > 1, targets: values(({ target }) => target) > 1 };
  return [...groups.values()].map((of) => {
    const { algorithm, variant, target } = of[0]!;
    const kind = [
      ...(several.algorithms || variant === undefined ? [algorithm] : []),
      ...(variant ? [variant] : []),
    ].join(" ");
    const label = several.targets ? `${kind}, target ${target}` : kind;
    const names = Object.keys(of.find((cell) => cell.results)?.results ?? {}) as ResultName[];
    const results = Object.fromEntries(
      names.flatMap((name) => {
        const spread = spreadOf(of.map((cell) => cell.results?.[name]));
        return spread ? [[name, spread] as const] : [];
      }),
    );
    const finished = of.filter(({ state }) => state === "finished").length;
    return { label, kind, algorithm, variant, target, cells: of, finished, results };
  });
}
