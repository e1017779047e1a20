import { LatheError } from "../process/errors";
import type { WidthCosts } from "../proto/lathe/v1/space";

/** Index of the smallest bound that is not below a width; -1 where there is none. */
export const boundOf = (bounds: readonly number[], width: number): number =>
  bounds.findIndex((bound) => bound >= width);

/** The cost at the smallest bounds that are not below the two widths. INVALID_ARGUMENT for a width above all bounds. */
export function widthCost({ rows, columns, costs }: WidthCosts, row: number, column: number): number {
  const [r, c] = [boundOf(rows, row), boundOf(columns, column)];
  const cost = r < 0 || c < 0 ? undefined : costs[r * columns.length + c];
  if (cost !== undefined) return cost;
  const most = `${rows.at(-1) ?? 0} and ${columns.at(-1) ?? 0}`;
  throw new LatheError("INVALID_ARGUMENT", `the cost table has no widths ${row} and ${column}, at most ${most}`);
}
