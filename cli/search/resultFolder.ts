import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { print } from "../../shared/space/genotype";
import { SUMS_FILE, writeBundle, writeSums } from "../bundle/bundle";
import { keptOf } from "../exit";
import { downloadArtifacts } from "./download";
import { resultTable, measurementsOf, measuredBy } from "./resultTable";
import type { SearchApi } from "./follow";
import { HISTORY_FILES, openHistory } from "./history";
import { hasKept } from "./kept";

const REPORT_FILE = "report.html";

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

/** The report of a search from the folder that holds its history and prediction sheets. */
function report(search: Search, folder: string): string {
  // Loaded when needed, because ECharts takes longer to load than most commands take to run.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
  const { reportOf } = require("../report/report") as typeof import("../report/report");
  return reportOf(search, folder);
}

/** The report of a search in any state, of what the service has stored so far. */
export async function fetchReport(
  api: Pick<SearchApi, "downloadArtifact" | "watchSearch">,
  search: Search,
  signal: AbortSignal,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "lathe-report-"));
  try {
    const history = openHistory(folder);
    for await (const response of api.watchSearch(
      { searchId: search.id, fromSequence: 0, includeProgress: false },
      { signal },
    )) {
      history.add(response);
      // The stream of an unfinished search does not end.
      if (response.sequence >= search.lastSequence) break;
    }
    const shown = search.artifacts.filter(({ kind }) => kind.startsWith("predictions/") || kind === "confusion.json");
    await downloadArtifacts(api, search.id, shown, folder, signal);
    return report(search, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Completes the folder that holds the history of a finished search, or of a cancelled one whose network is kept: artifacts, genotype.json,
 * report.html, result.json, what others need to use the network, and the digests of all files. Returns the content of result.json.
 */
export async function writeResultFolder(
  api: Pick<SearchApi, "downloadArtifact">,
  search: Search,
  folder: string,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  const { genotype } = resultOf(search);
  const downloaded = await downloadArtifacts(api, search.id, search.artifacts, folder, signal);
  if (genotype && !downloaded.includes("genotype.json"))
    writeFileSync(join(folder, "genotype.json"), json(Genotype.toJSON(genotype)));
  writeFileSync(join(folder, REPORT_FILE), report(search, folder));
  const results = [...new Set([...downloaded, ...HISTORY_FILES, "genotype.json", REPORT_FILE, "result.json"])];
  const files = [...results, ...writeBundle(search, folder, results)].sort();
  const content = resultJson(search, folder, [...files, SUMS_FILE].sort());
  writeFileSync(join(folder, "result.json"), json(content));
  writeSums(folder, files);
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
