import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import type { DatasetFigures } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, Search, SearchState, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { isUnserved } from "../../shared/spec/deviceClass";
import { resolve as resolveSpec } from "../../shared/spec/resolve";
import { invocation } from "../invocation";
import { complain, outcomeError, print, printJson } from "../exit";
import { takeOutFolder } from "../search/folder";
import { follow, type SearchApi } from "../search/follow";
import { openHistory } from "../search/history";
import { followToKept, hasKept } from "../search/kept";
import { fetchReport, summaryLines, writeResultFolder } from "../search/resultFolder";
import type { SpecFlags } from "../spec/specFlags";
import { userFolder } from "../userFolder";
import { phaseName, searchTable, stateName } from "../view/searchTable";
import { openDisplay } from "../view/terminal";
import { percent } from "../view/format";
import { connectionOptions, withSearchService, type ConnectionFlags } from "./connection";
import { label, specOptions, whole, writeOut } from "./options";

const stateNames = ["pending", "running", "paused", "succeeded", "failed", "cancelled"];

function stateOf(name: string): SearchState {
  if (stateNames.includes(name)) return SearchState[`SEARCH_STATE_${name.toUpperCase()}` as keyof typeof SearchState];
  throw new LatheError("INVALID_ARGUMENT", `--only contains "${name}", must be one of ${stateNames.join(", ")}`);
}

/** The record of a search as text. */
function searchLines(search: Search): string[] {
  const { id, state, phase, spec, createdAt, lastEpoch, retrainingEpoch, candidatesLeft, conditions, result } = search;
  const labels = Object.entries(spec?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return [
    `${id}  ${stateName(state)}  ${phaseName(phase)}`,
    `  preset     ${spec?.preset ?? ""}, seed ${spec?.seed ?? 0}${labels.length > 0 ? `, ${labels.join(", ")}` : ""}`,
    `  created    ${createdAt?.toISOString() ?? ""}`,
    ...(lastEpoch
      ? [`  epoch      ${lastEpoch.epoch}/${lastEpoch.epochs}, mIoU ${percent(lastEpoch.validationMiou)}`]
      : []),
    ...(retrainingEpoch > 0 ? [`  retraining epoch ${retrainingEpoch}/${spec?.retraining?.epochs ?? 0}`] : []),
    ...(result?.dataset ? [`  data       ${dataLine(result.dataset)}`] : []),
    ...(candidatesLeft > 0 ? [`  candidates ${candidatesLeft} left`] : []),
    ...conditions.map(
      ({ type, status, reason, message }) =>
        `  ${type}: ${status === ConditionStatus.CONDITION_STATUS_TRUE ? "true" : "false"}${reason && ` (${reason})`}${message && `: ${message}`}`,
    ),
  ];
}

const dataLine = ({ train, validation, sha256 }: DatasetFigures): string =>
  `${train?.examples ?? 0} training and ${validation?.examples ?? 0} validation examples, fingerprint ${sha256}`;

/** That a search waits for a latency worker, or will. */
const waitingLines = (search: Search | undefined): string[] =>
  (search?.conditions ?? []).filter(isUnserved).map(({ message }) => `lathe: ${message}`);

function given(search: Search | undefined): Search {
  if (search) return search;
  throw new LatheError("INTERNAL", "the search service answered without a search");
}

function show(answer: { search?: Search | undefined }, { json }: ConnectionFlags): void {
  const search = given(answer.search);
  if (json) printJson(Search.toJSON(search));
  else print(...searchLines(search));
}

function requireSuccess(search: Search): void {
  const failure = outcomeError(search);
  if (failure) throw failure;
}

/** Long enough to rebuild and restart a stack by hand. */
const patienceMs = 5 * 60_000;

/** How long a watch waits for the network of a cancelled search, which a worker keeps between two derivations. */
const keepMs = 60_000;

/** Shows a search until it ends; with `json`, prints one event per line. Throws if the search failed or was cancelled. */
async function watch(
  api: SearchApi,
  searchId: string,
  from: number,
  json: boolean,
  signal: AbortSignal,
): Promise<void> {
  // A wrong id or address fails here, before the retries of follow().
  await api.getSearch({ searchId }, { signal });
  const display = openDisplay(searchId, process.stdout, { silent: json });
  const say = (line: string) => (json ? complain(line) : display.say(line));
  try {
    const onLost = (error: LatheError) => say(`connection lost, retrying: ${error.message}`);
    const onKeeping = () =>
      say(`cancelled; waiting for its best network so far: ${invocation()} search get ${searchId} shows it, too`);
    const options = { fromSequence: from, includeProgress: true, signal, onLost, patienceMs, onKeeping, keepMs };
    for await (const response of followToKept(api, searchId, options)) {
      if (json) print(JSON.stringify(WatchSearchResponse.toJSON(response)));
      display.event(response);
    }
  } finally {
    display.close();
  }
  const { search } = await api.getSearch({ searchId }, { signal });
  if (search) requireSuccess(search);
}

async function* pages(
  api: SearchApi,
  states: SearchState[],
  labels: Record<string, string>,
  signal: AbortSignal,
): AsyncGenerator<Search> {
  let pageToken = "";
  do {
    const page = await api.listSearches({ pageSize: 200, pageToken, states, labels }, { signal });
    yield* page.searches;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

type Simple = "pauseSearch" | "resumeSearch" | "cancelSearch";

/** `lathe search ...`: the commands for a search service of a stack or a cluster. */
export function searchCommand(program: Command): void {
  const search = program
    .command("search")
    .description("start, list, show and control the searches of a running search service");
  const sub = (usage: string, about: string) => connectionOptions(search.command(usage).description(about));

  specOptions(sub("start", "start a search and print its id"))
    .option("--request-id <id>", "makes a repeated start safe: the same id and spec return the same search")
    .option("--wait", "start the search although no latency worker of its device class is alive, and wait for one")
    .option("--watch", "show the search until it ends")
    .action(async (flags: SpecFlags & ConnectionFlags & { requestId?: string; wait?: boolean; watch?: boolean }) => {
      // Loaded here alone: its parsers take a third of the time in which the other commands start.
      const { readSpec } = await import("../spec/specFlags.js");
      const spec = readSpec(flags);
      resolveSpec(spec);
      await withSearchService(flags, async (api, signal) => {
        const { requestId = randomUUID(), wait: waitForDevice = false } = flags;
        const started = await api.startSearch({ spec, requestId, waitForDevice }, { signal });
        // A watch shows the event. Without one, nothing else would say that no worker is there.
        if (!flags.watch) for (const line of waitingLines(started.search)) complain(line);
        if (!flags.watch && !flags.json) return print(started.search?.id ?? "");
        if (!flags.watch) return show(started, flags);
        await watch(api, started.search?.id ?? "", 0, flags.json ?? false, signal);
      });
    });

  sub("list", "list searches, newest first")
    .option("--only <states>", `only searches in these states, comma-separated: ${stateNames.join(", ")}`)
    .option("--label <key=value>", "only searches with this label; repeatable", label)
    .action(async (flags: ConnectionFlags & { only?: string; label?: Record<string, string> }) => {
      const states = flags.only === undefined ? [] : flags.only.split(",").map(stateOf);
      await withSearchService(flags, async (api, signal) => {
        const found: Search[] = [];
        for await (const one of pages(api, states, flags.label ?? {}, signal)) found.push(one);
        if (flags.json) return printJson(found.map((one) => Search.toJSON(one)));
        if (found.length > 0) print(...searchTable(found));
        if (found.length === 0) complain("no searches found");
      });
    });

  sub("get <id>", "show the state of a search").action(async (searchId: string, flags: ConnectionFlags) =>
    withSearchService(flags, async (api, signal) => show(await api.getSearch({ searchId }, { signal }), flags)),
  );

  sub("watch <id>", "show a search until it ends; exit code 0: succeeded, 3: failed, 4: cancelled")
    .option("--from <sequence>", "sequence number of the first event", whole, 0)
    .action(async (searchId: string, flags: ConnectionFlags & { from: number }) =>
      withSearchService(flags, (api, signal) => watch(api, searchId, flags.from, flags.json ?? false, signal)),
    );

  const simple = (name: string, method: Simple, about: string) =>
    sub(`${name} <id>`, about)
      .option("--reason <text>", "reason to store with the search", "requested on the command line")
      .action(async (searchId: string, flags: ConnectionFlags & { reason: string }) =>
        withSearchService(flags, async (api, signal) =>
          show(await api[method]({ searchId, reason: flags.reason }, { signal }), flags),
        ),
      );
  simple("pause", "pauseSearch", "pause a search after its current step");
  simple("resume", "resumeSearch", "continue a paused or failed search from its newest checkpoint");
  simple("cancel", "cancelSearch", "cancel a search; its best network so far is kept");

  sub("delete <id>", "delete a search that has ended, with its events and artifacts").action(
    async (searchId: string, flags: ConnectionFlags) =>
      withSearchService(flags, async (api, signal) => {
        await api.deleteSearch({ searchId }, { signal });
        if (flags.json) printJson({ deleted: searchId });
        else print(`${searchId} deleted`);
      }),
  );

  sub("report <id>", "write the report of a search in any state as one HTML file")
    .option("--out <file>", "HTML file to write; an existing file is replaced (default: report-<id>.html)")
    .action(async (searchId: string, flags: ConnectionFlags & { out?: string }) =>
      withSearchService(flags, async (api, signal) => {
        const found = given((await api.getSearch({ searchId }, { signal })).search);
        const { path } = writeOut(flags.out ?? `report-${found.id}.html`, await fetchReport(api, found, signal));
        if (flags.json) printJson({ search: found.id, report: path });
        else print(path);
      }),
    );

  sub(
    "result <id>",
    "print the results of a search that succeeded, or the kept network of a cancelled one; with --out, also write its result folder",
  )
    .option("--out <folder>", "result folder to write")
    .action(async (searchId: string, flags: ConnectionFlags & { out?: string }) =>
      withSearchService(flags, async (api, signal) => {
        const found = given((await api.getSearch({ searchId }, { signal })).search);
        if (!hasKept(found)) requireSuccess(found);
        if (flags.out === undefined) {
          if (flags.json) printJson(Search.toJSON(found));
          else print(...summaryLines(found, undefined));
          return;
        }
        const folder = takeOutFolder(resolve(userFolder(), flags.out), "predictions");
        const history = openHistory(folder);
        for await (const response of follow(api, searchId, { signal })) history.add(response);
        const content = await writeResultFolder(api, found, folder, signal);
        if (flags.json) printJson(content);
        else print(...summaryLines(found, folder, content.files as string[]));
      }),
    );
}
