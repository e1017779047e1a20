import { invalidField, LatheError, type FieldViolation } from "../../shared/process/errors";
import { refuse } from "../../shared/space/validate";
import { requested, underFlags, type RequestedSpec, type SpecFlags } from "../spec/specFlags";
import type { Cell } from "./grid";

/** A cell with a valid, resolved spec. */
export type CheckedCell = Cell & Pick<RequestedSpec, "resolved">;

/** Checks every cell, overridden by the flags, as `lathe run` checks its spec. INVALID_ARGUMENT lists each fault once, with its cells. */
export function checkCells(
  cells: readonly Cell[],
  flags: Pick<SpecFlags, "data" | "dataset">,
  source: string,
): CheckedCell[] {
  const checked: CheckedCell[] = [];
  const faults = new Map<string, { violation: FieldViolation; cells: string[] }>();
  for (const cell of cells) {
    try {
      const found = requested(underFlags(cell.spec, flags));
      requireOneLatency(found.resolved.cost.targets);
      checked.push({ ...cell, ...found });
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.violations.length === 0) throw error;
      for (const violation of error.violations) {
        const key = JSON.stringify(violation);
        const known = faults.get(key);
        if (known) known.cells.push(cell.name);
        else faults.set(key, { violation, cells: [cell.name] });
      }
    }
  }
  const violations = [...faults.values()].map(({ violation: { field, description }, cells: where }) => ({
    field,
    description: `${description} (${inCells(where, cells.length)})`,
  }));
  refuse("INVALID_EXPERIMENT", source, violations);
  return checked;
}

/** A cell is one search: the further searches that several latencies begin would outlive it. */
function requireOneLatency({ length }: readonly string[]): void {
  if (length < 2) return;
  throw invalidField("cost.targets", `has ${length} entries, must have one in an experiment; write a variant for each`);
}

/**
 * Asks about the device class of each cell. A refusal of one (DEVICE_NOT_SERVED, or too many threads) is told with the names of its cells,
 * before any of them starts.
 */
export async function checkDevices<C extends CheckedCell>(
  cells: readonly C[],
  check: (cell: C) => void | Promise<void>,
): Promise<void> {
  const refused = new Map<string, { error: LatheError; cells: string[] }>();
  for (const cell of cells) {
    try {
      await check(cell);
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.reason !== "DEVICE_NOT_SERVED" && error.reason !== "INVALID_SPEC") throw error;
      const known = refused.get(error.message);
      if (known) known.cells.push(cell.name);
      else refused.set(error.message, { error, cells: [cell.name] });
    }
  }
  const [first] = refused.values();
  if (!first) return;
  const message = [...refused]
    .map(([text, { cells: where }]) => `${text} (${inCells(where, cells.length)})`)
    .join("; ");
  const { code, reason, metadata, violations } = first.error;
  throw new LatheError(code, message, { reason, metadata, violations });
}

function inCells(names: readonly string[], of: number): string {
  if (names.length === of) return of === 1 ? "in the only cell" : `in all ${of} cells`;
  const shown = names.slice(0, 3).join(", ");
  return `in ${names.length} of ${of} cells: ${shown}${names.length > 3 ? ", ..." : ""}`;
}
