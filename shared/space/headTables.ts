import type { CostTable, Genotype, SearchSpace, WidthCosts } from "../proto/lathe/v1/space";
import { withoutBlocks } from "./genotype";
import { DETAIL, JOINED, PYRAMID, searchedWidths, withHeadWidths, type HeadWidth } from "./head";
import { widthCost } from "./widthCosts";

/** The widths of the head that a table counts: the searched ones, or the full one. */
const headBounds = (space: SearchSpace, width: HeadWidth): number[] =>
  searchedWidths(space).includes(width) ? [...width.candidates(space)] : [width.full(space)];

/**
 * The tables of a head's costs: each is by the joined width and one other, with the third full. Their sum is exact for MACs, because no
 * convolution joins the pyramid with the detail.
 */
const HEAD_TABLES = { head: PYRAMID, detail: DETAIL } as const;

/** Widths of a head by their lists in HeadWidths. */
type HeadPoint = Record<HeadWidth["list"], number>;

/** The full widths, which are those of the network of the fixed part. */
const fullPoint = (space: SearchSpace): HeadPoint => ({
  joined: JOINED.full(space),
  pyramid: PYRAMID.full(space),
  detail: DETAIL.full(space),
});

/** The points of a table, row by row. */
function tablePoints(space: SearchSpace, other: HeadWidth): HeadPoint[] {
  const full = fullPoint(space);
  return headBounds(space, JOINED).flatMap((row) =>
    headBounds(space, other).map((column) => ({ ...full, joined: row, [other.list]: column })),
  );
}

const keyOf = ({ joined, pyramid, detail }: HeadPoint): string => [joined, pyramid, detail].join();

/** The widths of the networks that give the costs of the head, each once, beside the full ones. None where no width is searched. */
function headWidthsToMeasure(space: SearchSpace): Map<string, HeadPoint> {
  const points = Object.values(HEAD_TABLES).flatMap((other) => tablePoints(space, other));
  const found = new Map(points.map((point) => [keyOf(point), point]));
  found.delete(keyOf(fullPoint(space)));
  return found;
}

/** The networks without blocks whose costs give those of the head, beside the one of full widths (CostTable.fixed). None where no width is searched. */
export function headPoints(space: SearchSpace): Genotype[] {
  const bare = withoutBlocks(space);
  return [...headWidthsToMeasure(space).values()].map((point) => withHeadWidths(bare, ({ list }) => point[list]));
}

/** CostTable.head and CostTable.detail from the costs of headPoints; none where no width is searched. */
export function headTables(
  space: SearchSpace,
  costs: readonly number[],
  fixed: number,
): Pick<CostTable, keyof typeof HEAD_TABLES> {
  const searched = searchedWidths(space);
  if (searched.length === 0) return {};
  const found = new Map([...headWidthsToMeasure(space).keys()].map((key, index) => [key, costs[index]]));
  found.set(keyOf(fullPoint(space)), fixed);
  const costOf = (point: HeadPoint) => found.get(keyOf(point)) ?? Number.NaN;
  const table = (other: HeadWidth, reference: (point: HeadPoint) => number): WidthCosts => ({
    ...{ rows: headBounds(space, JOINED), columns: headBounds(space, other) },
    costs: tablePoints(space, other).map((point) => costOf(point) - reference(point)),
  });
  const atFullDetail = (point: HeadPoint) => costOf({ ...point, detail: DETAIL.full(space) });
  return {
    head: table(PYRAMID, () => fixed),
    ...(searched.includes(DETAIL) && { detail: table(DETAIL, atFullDetail) }),
  };
}

/** A part of a head's cost, in the table's unit: by the joined width and by `other`. A width that is undefined is full. */
interface HeadTerm {
  other: HeadWidth;
  cost: (joined: number | undefined, width: number | undefined) => number;
  /** The largest cost. */
  most: number;
}

/** The parts whose sum is the cost of a head by its widths, less that at full width. None where the table has no head. */
export function headTerms(table: CostTable): HeadTerm[] {
  return Object.entries(HEAD_TABLES).flatMap(([name, other]): HeadTerm[] => {
    const costs = table[name as keyof typeof HEAD_TABLES];
    if (!costs) return [];
    const full = [costs.rows.at(-1) ?? 0, costs.columns.at(-1) ?? 0] as const;
    const cost: HeadTerm["cost"] = (joined = full[0], width = full[1]) => widthCost(costs, joined, width);
    return [{ other, cost, most: Math.max(0, ...costs.costs) }];
  });
}

/** The widths of the cheapest head: with each joined width, the others are independent. */
export function cheapestHead(space: SearchSpace, table: CostTable): (width: HeadWidth) => number {
  const cheaper = <T extends { cost: number }>(best: T, next: T): T => (next.cost < best.cost ? next : best);
  const heads = headBounds(space, JOINED).map((joined) => {
    const others = headTerms(table).map(({ other, cost }) =>
      headBounds(space, other)
        .map((width) => ({ other, width, cost: cost(joined, width) }))
        .reduce(cheaper),
    );
    return { joined, others, cost: others.reduce((sum, { cost }) => sum + cost, 0) };
  });
  const best = heads.reduce(cheaper);
  return (width) =>
    width === JOINED ? best.joined : (best.others.find(({ other }) => other === width)?.width ?? width.full(space));
}
