import { createHash } from "node:crypto";
import { LatheError, type FieldViolation } from "../../shared/process/errors";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { refuse } from "../../shared/space/validate";
import { specDigest, resolve } from "../../shared/spec/resolve";
import { isMapping } from "../../shared/spec/parse";
import { snakeCase } from "../../shared/spec/bounds";
import type { CheckedCell } from "./check";
import type { Failure } from "./folder";

/** A cell without a result. The request id of its search changes only after that search has failed. */
export interface OpenCell extends CheckedCell {
  requestId: string;
  /** Number of failed searches of this cell. */
  failed: number;
}

interface Found {
  result(cell: string): Record<string, unknown> | undefined;
  failure(cell: string): Failure | undefined;
}

/** The cells without a result, in order. INVALID_ARGUMENT if the result of a cell has another spec than the experiment file. */
export function openCells(
  cells: readonly CheckedCell[],
  experimentId: string,
  found: Found,
  folder: string,
): OpenCell[] {
  const violations: FieldViolation[] = [];
  const open = cells.flatMap((cell) => {
    const result = found.result(cell.name);
    if (result !== undefined) {
      const changes = changesOf(result.spec, cell.resolved);
      if (changes.length > 0)
        violations.push({
          field: cell.name,
          description: `has a result of another spec (${changes.join("; ")}): remove its folder, or give another --out`,
        });
      return [];
    }
    const failed = found.failure(cell.name)?.attempts ?? 0;
    return [{ ...cell, failed, requestId: requestId(experimentId, cell, failed) }];
  });
  refuse("SPEC_CHANGED", folder, violations);
  return open;
}

/** A request id of at most 64 characters, the limit of StartSearch. */
function requestId(experimentId: string, { name, resolved }: CheckedCell, failed: number): string {
  const parts = [experimentId, name, specDigest(resolved), failed];
  return `cell-${createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 48)}`;
}

/** The first differences between the spec of a result and a resolved spec, as "training.epochs was 40, is 30". Labels are ignored. */
function changesOf(stored: unknown, now: SearchSpec): string[] {
  let then: SearchSpec;
  try {
    // Resolving again gives fields that are newer than the result their defaults.
    then = resolve(SearchSpec.fromJSON(stored ?? {})).spec;
  } catch (error) {
    return [`which is not valid: ${LatheError.from(error).message}`];
  }
  const changes: string[] = [];
  const plain = (spec: SearchSpec) => SearchSpec.toJSON({ ...spec, labels: {} });
  compare(plain(then), plain(now), "", changes);
  return changes.length > 3 ? [...changes.slice(0, 3), `and ${changes.length - 3} more`] : changes;
}

function compare(then: unknown, now: unknown, path: string, changes: string[]): void {
  if (isMapping(then) && isMapping(now)) {
    for (const key of new Set([...Object.keys(then), ...Object.keys(now)])) {
      const field = snakeCase(key);
      compare(then[key], now[key], path === "" ? field : `${path}.${field}`, changes);
    }
    return;
  }
  const [before, after] = [JSON.stringify(then), JSON.stringify(now)];
  if (before !== after) changes.push(`${path} was ${before ?? "not set"}, is ${after ?? "not set"}`);
}
