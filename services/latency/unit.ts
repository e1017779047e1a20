import type { CostTable, WidthCosts } from "../../shared/proto/lathe/v1/space";

/** A table of measured costs in another unit. */
export function inUnit(table: CostTable, unit: number): CostTable {
  const costs = (of: WidthCosts | undefined) => of && { ...of, costs: of.costs.map((cost) => unit * cost) };
  const candidates = table.candidates.map((row) => ({
    ...row,
    byInput: costs(row.byInput),
    byOutput: costs(row.byOutput),
  }));
  const exits = table.exits.map((exit) => ({ ...exit, costs: exit.costs.map((cost) => unit * cost) }));
  return { ...table, candidates, exits, fixed: unit * table.fixed };
}
