import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Ended } from "../../shared/comparison/candidate";
import { LatheError } from "../../shared/process/errors";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { foldersWithResult } from "../experiment/folder";

const RESULT = "result.json";

/**
 * The searches of a result folder, or of a folder that holds result folders, such as that of an experiment. INVALID_ARGUMENT (NO_RESULT)
 * where there is none, or where a result cannot be read.
 */
export function readSearches(folder: string): Ended[] {
  if (existsSync(join(folder, RESULT))) return [readSearch(folder)];
  const names = foldersWithResult(folder);
  if (names.length === 0) throw noResult(`${folder} has no ${RESULT}, nor has a folder in it`);
  return names.map((name) => readSearch(join(folder, name)));
}

/** A search as its result.json has it. A search without the label "name" is named as its folder is. */
export function searchOf(json: Record<string, unknown>, folder: string): Ended {
  const spec = json.spec === undefined ? undefined : SearchSpec.fromJSON(json.spec);
  const name = spec?.labels.name ?? basename(folder);
  return {
    searchId: typeof json.search === "string" ? json.search : name,
    name,
    spec,
    result: SearchResult.fromJSON(json),
  };
}

function readSearch(folder: string): Ended {
  const file = join(folder, RESULT);
  try {
    const json: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Error("it is no object");
    return searchOf(json as Record<string, unknown>, folder);
  } catch (error) {
    throw noResult(`${file} cannot be read as the result of a search: ${(error as Error).message}`, error);
  }
}

const noResult = (message: string, cause?: unknown) =>
  new LatheError("INVALID_ARGUMENT", message, { reason: "NO_RESULT", cause });
