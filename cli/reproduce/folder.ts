import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import type { SearchCreated } from "../../shared/proto/lathe/v1/events";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { eventsOf } from "../search/events";
import { readHistory } from "../search/history";

/** A result folder as far as genotype and figures depend on it. */
export interface ResultFolder {
  folder: string;
  spec: SearchSpec;
  result: SearchResult;
  /** The content of genotype.json. */
  genotype: Genotype;
  created: SearchCreated;
  events: readonly WatchSearchResponse[];
}

/** Reads the result folder of a search that succeeded; FAILED_PRECONDITION (NOT_REPRODUCIBLE) names what is missing. */
export function readResultFolder(folder: string): ResultFolder {
  const refuse = (why: string, cause?: unknown) =>
    new LatheError("FAILED_PRECONDITION", `${folder} cannot be reproduced: ${why}`, {
      reason: "NOT_REPRODUCIBLE",
      cause,
    });
  const read = (name: string): Record<string, unknown> => {
    const file = join(folder, name);
    if (!existsSync(file)) throw refuse(`${name} is missing; it must be the result folder of a search`);
    try {
      return JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    } catch (error) {
      throw refuse(`${name} is not JSON: ${(error as Error).message}`, error);
    }
  };
  const json = read("result.json");
  if (json.kept !== undefined)
    throw refuse("its search was cancelled, and its network was kept as it was at that time");
  if (!existsSync(join(folder, "history.jsonl"))) throw refuse("history.jsonl is missing");
  const events = readHistory(folder);
  const [created] = eventsOf(events, "searchCreated");
  if (!created) throw refuse("history.jsonl does not begin with the creation of the search");
  const genotype = Genotype.fromJSON(read("genotype.json"));
  return {
    folder,
    spec: SearchSpec.fromJSON(json.spec),
    result: SearchResult.fromJSON(json),
    genotype,
    created,
    events,
  };
}
