import type { CostTable, CostUnit, WidthCosts } from "../../shared/proto/lathe/v1/space";

/** The unit of the calibration networks: factorized blocks of these channels at this size. It takes about a millisecond, and never changes. */
export const UNIT = { blocks: 2, channels: 64, height: 48, width: 64 };

/** Names the unit in the keys of devices. "s": the start of a run is counted apart (RunStart). */
export const UNIT_NAME = `s${UNIT.blocks}x${UNIT.channels}x${UNIT.height}x${UNIT.width}`;

/** A table of measured costs in another unit. */
export function inUnit(table: CostTable, unit: CostUnit): CostTable {
  const { seconds } = unit;
  const costs = (of: WidthCosts | undefined) => of && { ...of, costs: of.costs.map((cost) => seconds * cost) };
  const candidates = table.candidates.map((row) => ({
    ...row,
    byInput: costs(row.byInput),
    byOutput: costs(row.byOutput),
  }));
  const exits = table.exits.map((exit) => ({ ...exit, costs: exit.costs.map((cost) => seconds * cost) }));
  return { ...table, candidates, exits, unit, fixed: seconds * table.fixed };
}
