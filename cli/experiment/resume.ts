import { createHash } from "node:crypto";
import { LatheError, type FieldViolation } from "../../shared/process/errors";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { refuse } from "../../shared/space/validate";
import { specDigest, resolve } from "../../shared/spec/resolve";
import { isMapping } from "../../shared/spec/parse";
import { snakeCase } from "../../shared/spec/bounds";
import type { CheckedCell } from "./check";
import type { Failure } from "./folder";

/** A cell that has no result yet, with the request id of its search: the same until that search has failed. */
export interface OpenCell extends CheckedCell {
  requestId: string;
  /** Searches of it that have failed. */
  failed: number;
}

interface Found {
  result(cell: string): Record<string, unknown> | undefined;
  failure(cell: string): Failure | undefined;
}

/**
 * The cells of an experiment that have no result yet, in order. INVALID_ARGUMENT where a result is that of another spec: its folder
 * would say something that the file does not.
 */
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

/** At most 64 characters, as StartSearch takes them. */
function requestId(experimentId: string, { name, resolved }: CheckedCell, failed: number): string {
  const parts = [experimentId, name, specDigest(resolved), failed];
  return `cell-${createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 48)}`;
}

/** What differs between the spec of a result and a resolved one, as "training.epochs was 40, is 30". Labels change no result. */
function changesOf(stored: unknown, now: SearchSpec): string[] {
  let then: SearchSpec;
  try {
    // By today's rules: a field that has come up since has its default.
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
