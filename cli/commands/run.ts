import { randomUUID } from "node:crypto";
import { rmdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { machineBytes } from "../../shared/engine/account";
import { LatheError } from "../../shared/process/errors";
import type { Search } from "../../shared/proto/lathe/v1/search";
import { givenGenotype, isSampling } from "../../shared/spec/algorithm";
import { complain, outcomeError, print, printJson } from "../exit";
import { takeOutFolder } from "../search/folder";
import type { SearchApi } from "../search/follow";
import { HISTORY_FILES } from "../search/history";
import { onInterrupt } from "../interrupt";
import { summaryLines, writeResultFolder } from "../search/resultFolder";
import { inOwnStack, recordSearch, StatusOutput } from "../search/ownStack";
import { requestSpec, userFolder, type RequestedSpec, type SpecFlags } from "../spec/specFlags";
import { memoryLine } from "../view/profile";
import { specOptions } from "./options";
import { trainingMemory } from "./profile";

/** The output flags of a command that runs one search. */
export interface RunFlags {
  out?: string;
  json?: boolean;
  keep?: boolean;
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
    .description("start a local stack (NATS and the five services), run one search and write its result folder")
    .action(async (flags: RunFlags & SpecFlags) => runSearch(flags, requestSpec(flags)));
}

/** Runs one search in its own stack and writes the result folder. */
export async function runSearch(flags: RunFlags, requested: RequestedSpec): Promise<void> {
  const say = flags.json ? complain : print;
  const wanted = resolve(userFolder(), flags.out ?? join("runs", requested.spec.labels.name ?? requested.spec.preset));
  const folder = takeOutFolder(wanted);
  if (folder !== wanted) say(`${wanted} already holds files; this run writes to ${folder}`);
  const interrupt = onInterrupt(complain);
  let kept = false;
  try {
    const output = new StatusOutput(flags.json === true, say);
    // Only these algorithms train a supernet of all candidates.
    if (!isSampling(requested.resolved) && !givenGenotype(requested.resolved))
      say(memoryLine(await trainingMemory(requested, interrupt.signal), machineBytes()));
    const { search, content } = await inOwnStack(folder, output, interrupt.signal, (api, signal) =>
      searchIn(folder, api, requested, output, signal, (keep) => (kept = keep)),
    );
    if (flags.json) printJson(content);
    else print(...summaryLines(search, folder, content.files as string[]));
  } catch (error) {
    if (kept) complain(`the search is kept; to continue it: lathe up --state ${folder}`);
    throw error;
  } finally {
    interrupt.dispose();
    // `kept`: the search has not ended or its files are not written yet (Ctrl-C, a full disk, a process that died too often).
    if (!flags.keep && !kept) rmSync(join(folder, "nats"), { recursive: true, force: true });
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

async function searchIn(
  folder: string,
  api: SearchApi,
  { spec }: RequestedSpec,
  output: StatusOutput,
  signal: AbortSignal,
  setKept: (kept: boolean) => void,
): Promise<{ search: Search; content: Record<string, unknown> }> {
  const { search: created } = await api.startSearch({ spec, requestId: randomUUID() }, { signal });
  if (!created) throw new LatheError("INTERNAL", "StartSearch answered without the search that it started");
  setKept(true);
  const search = await recordSearch(api, created.id, folder, output, signal);
  const failure = outcomeError(search);
  if (failure) {
    setKept(false);
    throw failure;
  }
  const content = await writeResultFolder(api, search, folder, { alsoThere: HISTORY_FILES, signal });
  setKept(false);
  return { search, content };
}
