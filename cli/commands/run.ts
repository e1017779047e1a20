import { randomUUID } from "node:crypto";
import { mkdirSync, rmdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { machineBytes } from "../../shared/process/memory";
import { LatheError } from "../../shared/process/errors";
import type { Branch } from "../../shared/proto/lathe/v1/result";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { givenGenotype, isSampling } from "../../shared/spec/algorithm";
import { invocation } from "../invocation";
import { requireConfigured } from "../configuredEngine";
import { complain, keptOf, outcomeError, print, printJson, SEARCH_FAILED } from "../exit";
import { passedOver, takeOutFolder } from "../search/folder";
import type { SearchApi } from "../search/follow";
import { hasKept } from "../search/kept";
import { dropRequest, isUnfinished, keepRequest, readRequest, type RunRequest } from "../search/request";
import { onInterrupt } from "../interrupt";
import { summaryLines, writeResultFolder } from "../search/resultFolder";
import { inOwnStack, recordSearch, StatusOutput } from "../search/ownStack";
import { requireOwnDevice } from "../spec/ownDevice";
import { requireReadable } from "../spec/dataCheck";
import { requested, requestSpec, type RequestedSpec, type SpecFlags } from "../spec/specFlags";
import { userFolder } from "../userFolder";
import { memoryLine } from "../view/profile";
import { specOptions } from "./options";
import { trainingMemory } from "./profile";

/** The output flags of a command that runs one search. */
export interface RunFlags {
  out?: string;
  json?: boolean;
  keep?: boolean;
  /** Only of `lathe run`. */
  wait?: boolean;
}

export function runOptions(command: Command, named: string): Command {
  return command
    .option(
      "--out <folder>",
      `result folder; if it already holds files, a new <folder>-2, -3, ... is used (default: runs/<${named}>)`,
    )
    .option("--json", "print only the content of result.json")
    .option("--keep", "keep the NATS store (checkpoints, all events) in the result folder");
}

/** `lathe run`: starts a local stack, runs one search and writes its result folder. */
export function runCommand(program: Command): void {
  runOptions(specOptions(program.command("run")), "name or preset")
    .option(
      "--wait",
      "run although this stack does not serve the device class of the spec, and wait for a worker that does",
    )
    .option("--resume <folder>", "continue the interrupted or failed run of this result folder, with its spec")
    .description("start a local stack (NATS and the five services), run one search and write its result folder")
    .action(async ({ resume, ...flags }: RunFlags & SpecFlags & { resume?: string }) =>
      resume === undefined ? runSearch(flags, requestSpec(flags)) : resumeRun(resume, flags),
    );
}

/** Runs one search in its own stack and writes the result folder. */
export async function runSearch(flags: RunFlags, requested: RequestedSpec): Promise<void> {
  const say = flags.json ? complain : print;
  if (!flags.wait) requireOwnDevice(requested.resolved);
  const wanted = resolve(userFolder(), flags.out ?? join("runs", requested.spec.labels.name ?? requested.spec.preset));
  const folder = takeOutFolder(wanted);
  if (folder !== wanted) say(`${wanted} already holds files; this run writes to ${folder}`);
  for (const other of passedOver(wanted, folder))
    if (isUnfinished(other))
      say(`${other} holds an unfinished run; to continue that one: ${invocation()} run --resume ${other}`);
  await runIn(folder, { requestId: randomUUID(), spec: requested.spec }, requested, flags);
}

/** Continues the unfinished run of a folder. */
async function resumeRun(given: string, { json, keep, wait, ...others }: RunFlags & SpecFlags): Promise<void> {
  const [flag] = Object.keys(others);
  if (flag !== undefined)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `--resume continues with the spec and the folder of the run: leave out --${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    );
  const folder = resolve(userFolder(), given);
  const request = readRequest(folder);
  await runIn(
    folder,
    request,
    requested(request.spec, false),
    { ...(json && { json }), ...(keep && { keep }), ...(wait && { wait }) },
    true,
  );
}

/** Runs the search of a request in a folder that is new or that of an unfinished run of the same request. */
async function runIn(
  folder: string,
  request: RunRequest,
  { resolved, space }: Pick<RequestedSpec, "resolved" | "space">,
  flags: RunFlags,
  resumed = false,
): Promise<void> {
  const say = flags.json ? complain : print;
  const interrupt = onInterrupt(complain);
  let kept = resumed;
  try {
    // Before the stack, which takes seconds to start.
    await requireConfigured();
    await requireReadable(resolved.dataset, { say, complain });
    const output = new StatusOutput(flags.json === true, say);
    // Only these algorithms train a supernet of all candidates.
    if (!isSampling(resolved) && !givenGenotype(resolved))
      say(memoryLine(await trainingMemory({ resolved, space }, interrupt.signal), machineBytes()));
    const { search, content } = await inOwnStack({ folder }, output, interrupt.signal, (api, signal) =>
      searchIn(
        folder,
        api,
        { ...request, waitForDevice: flags.wait ?? false },
        output,
        signal,
        (keep) => (kept = keep),
      ),
    );
    if (flags.json) printJson(content);
    else print(...summaryLines(search, folder, content.files as string[]));
  } catch (error) {
    const mended = LatheError.from(error).reason === SEARCH_FAILED ? " once the cause is mended" : "";
    if (kept)
      complain(
        `the search is kept; to continue it${mended}: ${invocation()} run --resume ${folder}; to delete it, remove the folder`,
      );
    throw error;
  } finally {
    interrupt.dispose();
    // `kept`: the search can go on, or its files are not written yet (Ctrl-C, a full disk, a process that died too often).
    if (!kept) {
      dropRequest(folder);
      if (!flags.keep) rmSync(join(folder, "nats"), { recursive: true, force: true });
    }
    dropEmpty(folder);
  }
}

/** Removes the folder of a run that ended before it wrote anything. */
function dropEmpty(folder: string): void {
  for (const path of [join(folder, "logs"), folder]) {
    try {
      rmdirSync(path);
    } catch {
      // The folder is not empty, so it stays.
      return;
    }
  }
}

const REFUSALS: ReadonlySet<string> = new Set(["TARGET_INFEASIBLE", "TABLE_INACCURATE"]);

/** Whether a search failed in a way that its resumption cannot change. */
const isRefused = ({ conditions }: Search): boolean =>
  conditions.some(({ type, reason }) => type === "Failed" && REFUSALS.has(reason));

/**
 * Shows a search that started from the supernet of the one in a folder, and writes its result folder into that, named by its latency. Returns
 * its failure, if it has failed, was cancelled or is deleted.
 */
async function recordBranch(
  api: SearchApi,
  { searchId, target }: Branch,
  folder: string,
  output: StatusOutput,
  signal: AbortSignal,
): Promise<{ error: LatheError; resumable: boolean } | undefined> {
  const own = join(folder, target);
  try {
    const { search: known } = await api.getSearch({ searchId }, { signal });
    if (known?.state === SearchState.SEARCH_STATE_FAILED) await api.resumeSearch({ searchId }, { signal });
    mkdirSync(own, { recursive: true });
    const search = await recordSearch(api, searchId, own, output, signal);
    const error = outcomeError(search);
    if (error && !hasKept(search)) return { error, resumable: search.state === SearchState.SEARCH_STATE_FAILED };
    const { files } = await writeResultFolder(api, search, own, signal);
    output.say(`${target}: files in ${own}: ${(files as string[]).join(", ")}`);
    return error && { error, resumable: false };
  } catch (thrown) {
    const error = LatheError.from(thrown);
    if (error.code !== "NOT_FOUND") throw error;
    return { error, resumable: false };
  }
}

async function searchIn(
  folder: string,
  api: SearchApi,
  request: RunRequest & { waitForDevice: boolean },
  output: StatusOutput,
  signal: AbortSignal,
  setKept: (kept: boolean) => void,
): Promise<{ search: Search; content: Record<string, unknown> }> {
  keepRequest(folder, request);
  setKept(true);
  const { search: created } = await api.startSearch(request, { signal }).catch((error: unknown) => {
    // A refused search is not stored: there is nothing to continue.
    if (LatheError.from(error).reason === "DEVICE_NOT_SERVED") setKept(false);
    throw error;
  });
  if (!created) throw new LatheError("INTERNAL", "StartSearch answered without the search that it started");
  const isFailed = ({ state }: Search) => state === SearchState.SEARCH_STATE_FAILED;
  if (isFailed(created)) await api.resumeSearch({ searchId: created.id }, { signal });
  const search = await recordSearch(api, created.id, folder, output, signal);
  const failure = outcomeError(search);
  const isKept = hasKept(search);
  // The store holds what the network of a cancelled search is still to be kept from.
  if (failure && search.state === SearchState.SEARCH_STATE_CANCELLED && !keptOf(search)) throw failure;
  if (failure && !isKept) {
    setKept(isFailed(search) && !isRefused(search));
    throw failure;
  }
  const content = await writeResultFolder(api, search, folder, signal);
  const failures: { error: LatheError; resumable: boolean }[] = [];
  for (const branch of search.result?.branches ?? []) {
    const found = await recordBranch(api, branch, folder, output, signal);
    if (found) failures.push(found);
  }
  setKept(failures.some(({ resumable }) => resumable));
  // Each branch has been shown and written before the first failure ends the command.
  if (failures[0]) throw failures[0].error;
  if (!failure) return { search, content };
  output.say(`files in ${folder}: ${(content.files as string[]).join(", ")}`);
  throw failure;
}
