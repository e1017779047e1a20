import { randomUUID } from "node:crypto";
import { rmdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../../shared/process/errors";
import { SearchServiceClient, type Search } from "../../../shared/proto/lathe/v1/search";
import { connect } from "../../../shared/rpc/client";
import { outcomeError } from "../exit";
import { takeOutFolder } from "../folder";
import { follow, hasEnded, type SearchApi } from "../follow";
import { openHistory } from "../history";
import { onInterrupt } from "../interrupt";
import { summaryLines, writeResultFolder } from "../resultFolder";
import { requestSpec, userFolder, type RequestedSpec } from "../specFlags";
import { startStack } from "../stack";
import { openView } from "../view/terminal";
import { specOptions, type SpecOptions } from "./options";
import { complain, print, printJson } from "./output";

/** Room on a disk is somebody's to make; a run in a script must end. */
const storagePatienceMs = 60_000;

/** How a run shows and keeps what it does. */
export interface RunFlags {
  out?: string;
  json?: boolean;
  keep?: boolean;
}

export function runOptions(command: Command, named: string): Command {
  return command
    .option(
      "--out <folder>",
      `result folder; one that holds files is left alone and a numbered one is made (default: runs/<${named}>)`,
    )
    .option("--json", "print result.json and nothing else")
    .option("--keep", "keep the store of the stack (checkpoints, all events) in the result folder");
}

/** `lathe run`: a local stack, one search, a folder with its result. */
export function runCommand(program: Command): void {
  runOptions(specOptions(program.command("run")), "name or preset")
    .description("start a local stack, run one search, write its result folder")
    .action(async (flags: RunFlags & SpecOptions) => runSearch(flags, requestSpec(flags)));
}

/** Runs one search in a stack of its own and writes its result folder. */
export async function runSearch(flags: RunFlags, requested: RequestedSpec): Promise<void> {
  const say = flags.json ? complain : print;
  const wanted = resolve(userFolder(), flags.out ?? join("runs", requested.spec.labels.name ?? requested.spec.preset));
  const folder = takeOutFolder(wanted);
  if (folder !== wanted) say(`${wanted} is in use; this run writes to ${folder}`);
  const interrupt = onInterrupt(complain);
  let kept = false;
  try {
    const { search, content } = await inStack(folder, flags, requested, interrupt.signal, (keep) => (kept = keep));
    if (flags.json) printJson(content);
    else print(...summaryLines(search, folder, content.files as string[]));
  } catch (error) {
    if (kept) complain(`the search is kept; to go on with it: lathe up --state ${folder}`);
    throw error;
  } finally {
    interrupt.dispose();
    // Its search has not ended, or its files are not here yet: a Ctrl-C, a full disk, a process that died too often.
    if (!flags.keep && !kept) rmSync(join(folder, "nats"), { recursive: true, force: true });
    dropEmpty(folder);
  }
}

/** A run that ended before anything was written leaves no folder. */
function dropEmpty(folder: string): void {
  for (const path of [join(folder, "logs"), folder]) {
    try {
      rmdirSync(path);
    } catch {
      // It holds something, which is what it is for.
      return;
    }
  }
}

async function inStack(
  folder: string,
  flags: RunFlags,
  { spec }: RequestedSpec,
  interrupted: AbortSignal,
  setKept: (kept: boolean) => void,
): Promise<{ search: Search; content: Record<string, unknown> }> {
  const quiet = flags.json === true;
  const early = quiet ? () => {} : (line: string) => print(line);
  early(`starting the local stack; logs are in ${join(folder, "logs")}`);
  let say: (line: string) => void = quiet ? complain : early;
  const stack = await startStack({ folder, say: (line) => say(line), signal: interrupted, storagePatienceMs });
  const broken = new AbortController();
  void stack.broken.then((error) => broken.abort(error));
  const signal = AbortSignal.any([interrupted, broken.signal]);
  const connection = connect(SearchServiceClient, stack.addresses().search.grpc);
  const { api } = connection;
  try {
    const { search: created } = await api.startSearch({ spec, requestId: randomUUID() }, { signal });
    if (!created) throw new LatheError("INTERNAL", "the search service started a search and did not say which");
    setKept(true);
    const search = await watch(api, created.id, folder, quiet, signal, (speaker) => (say = speaker));
    const failure = outcomeError(search);
    if (failure) {
      setKept(false);
      throw failure;
    }
    const alsoThere = ["epochs.csv", "history.jsonl"];
    const content = await writeResultFolder(api, search, folder, { alsoThere, signal });
    setKept(false);
    return { search, content };
  } finally {
    connection.close();
    await stack.stop();
  }
}

/** Shows and records a search until it has ended; gives its last record. */
async function watch(
  api: SearchApi,
  searchId: string,
  folder: string,
  silent: boolean,
  signal: AbortSignal,
  speakThrough: (say: (line: string) => void) => void,
): Promise<Search> {
  const history = openHistory(folder);
  const view = openView(searchId, process.stdout, { silent });
  const say = (line: string) => (silent ? complain(line) : view.say(line));
  speakThrough(say);
  try {
    const onLost = (error: LatheError) => say(`connection lost, trying again: ${error.message}`);
    for await (const response of follow(api, searchId, { includeProgress: !silent, signal, onLost })) {
      history.add(response);
      view.event(response);
    }
  } finally {
    view.close();
    speakThrough(silent ? complain : print);
  }
  const { search } = await api.getSearch({ searchId }, { signal });
  if (search && hasEnded(search.state)) return search;
  throw new LatheError("INTERNAL", `the events of search ${searchId} ended, but it has not`);
}
