import type { CellFigures, CellRecord, FigureName } from "./cells";
import { spreadOf, type Spread } from "./statistics";

/** Cells that differ in their seed alone. */
export interface Group {
  /** What tells it from the other groups of the experiment, in words. */
  label: string;
  /** The same without the target. */
  kind: string;
  algorithm: string;
  variant: string | undefined;
  target: number;
  cells: CellRecord[];
  finished: number;
  figures: Partial<Record<FigureName, Spread>>;
}

export const FIGURES: readonly FigureName[] = [
  "convergedEpoch",
  "candidatesLeft",
  "supernetMiou",
  "discreteMiou",
  "retrainedMiou",
  "gap",
  "params",
  "macs",
  "costRatio",
  "costMiss",
  "latencyMs",
  "trainingImages",
  "searchSeconds",
  "retrainingSeconds",
  "totalSeconds",
];

/** The groups of an experiment in the order of its grid, each with the mean and spread of every figure that its cells have. */
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
    const figures = Object.fromEntries(
      FIGURES.flatMap((name) => {
        const spread = spreadOf(of.map((cell) => figure(cell, name)));
        return spread ? [[name, spread] as const] : [];
      }),
    );
    const finished = of.filter(({ state }) => state === "finished").length;
    return { label, kind, algorithm, variant, target, cells: of, finished, figures };
  });
}

export function figure(cell: CellRecord, name: FigureName): CellFigures[FigureName] {
  return cell.figures?.[name];
}
