import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { print } from "../../shared/space/genotype";
import { keptOf } from "../exit";
import { downloadArtifacts } from "./download";
import { resultTable, measurementsOf, measuredBy } from "./resultTable";
import type { SearchApi } from "./follow";
import { hasKept } from "./kept";

/** The content of result.json: the SearchResult as proto3 JSON with all results, and how each was measured. */
function resultJson(search: Search, folder: string, files: readonly string[]): Record<string, unknown> {
  const result = resultOf(search);
  const json = SearchResult.toJSON(result) as Record<string, unknown>;
  // proto3 JSON omits zeros, but a gap of 0 is a result.
  const zeros = measurementsOf(result).filter(({ key, value }) => !(key in json) && typeof value === "number");
  return {
    search: search.id,
    ...json,
    ...Object.fromEntries(zeros.map(({ key, value }) => [key, value])),
    classScores: result.classScores,
    measuredBy: measuredBy(result),
    spec: search.spec && SearchSpec.toJSON(search.spec),
    folder,
    files,
    ...(hasKept(search) && { kept: keptOf(search)?.message }),
  };
}

function resultOf(search: Search): SearchResult {
  const { id, state, result } = search;
  // The record collects results from the start; before the end, the missing ones would read as zeros.
  if (result && (state === SearchState.SEARCH_STATE_SUCCEEDED || hasKept(search))) return result;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `search ${id} has no result: it has not succeeded yet; "lathe search watch ${id}" waits for it`,
    { reason: "NO_RESULT" },
  );
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Writes the artifacts of a finished search, or of a cancelled one whose network is kept, genotype.json and result.json to a folder; returns the content of result.json. */
export async function writeResultFolder(
  api: Pick<SearchApi, "downloadArtifact">,
  search: Search,
  folder: string,
  { alsoThere = [], signal }: { alsoThere?: readonly string[]; signal?: AbortSignal | undefined } = {},
): Promise<Record<string, unknown>> {
  const { genotype } = resultOf(search);
  const downloaded = await downloadArtifacts(api, search.id, search.artifacts, folder, signal);
  if (genotype && !downloaded.includes("genotype.json"))
    writeFileSync(join(folder, "genotype.json"), json(Genotype.toJSON(genotype)));
  const files = [...new Set([...downloaded, ...alsoThere, "genotype.json", "result.json"])].sort();
  const content = resultJson(search, folder, files);
  writeFileSync(join(folder, "result.json"), json(content));
  return content;
}

/** The summary of a run as text: results, network and files. */
export function summaryLines(search: Search, folder: string | undefined, files: readonly string[] = []): string[] {
  const result = resultOf(search);
  return [
    "",
    `search ${search.id}${hasKept(search) ? `, cancelled; kept: ${keptOf(search)?.message}` : ""}`,
    "",
    ...resultTable(result),
    "",
    ...(result.genotype ? print(result.genotype).split("\n") : []).map((line) => `  ${line}`),
    ...(folder === undefined ? [] : ["", `files in ${folder}: ${files.join(", ")}`]),
  ];
}
