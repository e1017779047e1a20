import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchServiceClient, type Search } from "../../shared/proto/lathe/v1/search";
import { connect } from "../../shared/rpc/client";
import { hasEnded, type SearchApi } from "./follow";
import { openHistory } from "./history";
import { followToKept } from "./kept";
import { startStack } from "../stack/stack";
import { openDisplay } from "../view/terminal";

/** A run waits this long for free storage, in milliseconds. Without a limit, a run in a script would never end. */
const storagePatienceMs = 60_000;

/** The stack is stopped after its run, so a network that is not kept by then would be lost. */
const keepMs = 10 * 60_000;

/** Prints status lines. While a display shows a search, the display prints them. */
export class StatusOutput {
  private through: ((line: string) => void) | undefined;

  /** With `quiet`, stdout is reserved for JSON and `plain` must write elsewhere. */
  constructor(
    readonly quiet: boolean,
    private readonly plain: (line: string) => void,
  ) {}

  say(line: string): void {
    (this.through ?? this.plain)(line);
  }

  /** Redirects the lines to a display; without an argument, back to `plain`. */
  handTo(through?: (line: string) => void): void {
    this.through = through;
  }
}

/**
 * Calls `use` with the search service of a stack in a folder, which has as many training workers. Its signal aborts with `interrupted` or when
 * the stack breaks.
 */
export async function inOwnStack<T>(
  { folder, workers }: { folder: string; workers?: number | undefined },
  output: StatusOutput,
  interrupted: AbortSignal,
  use: (api: SearchApi, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (!output.quiet) output.say(`starting the local stack; logs are in ${join(folder, "logs")}`);
  const say = (line: string) => output.say(line);
  const stack = await startStack({ folder, say, workers, signal: interrupted, storagePatienceMs });
  const broken = new AbortController();
  void stack.broken.then((error) => broken.abort(error));
  const connection = connect(SearchServiceClient, stack.addresses().search.grpc);
  try {
    return await use(connection.api, AbortSignal.any([interrupted, broken.signal]));
  } finally {
    connection.close();
    await stack.stop();
  }
}

/**
 * Shows a search and writes its history.jsonl and epochs.csv until it ends, and until the network of a cancelled one is kept; returns its final
 * record. One of several at once has a `label` before each of its lines.
 */
export async function recordSearch(
  api: SearchApi,
  searchId: string,
  folder: string,
  output: StatusOutput,
  signal: AbortSignal,
  label?: string,
): Promise<Search> {
  const history = openHistory(folder);
  const display = openDisplay(searchId, process.stdout, { silent: output.quiet, label });
  if (!output.quiet && label === undefined) output.handTo((line) => display.say(line));
  try {
    const say = (line: string) => output.say(label === undefined ? line : `${label}: ${line}`);
    const onLost = (error: LatheError) => say(`connection lost, retrying: ${error.message}`);
    const onKeeping = () => say("cancelled; waiting for its best network so far to be kept (Ctrl-C ends this)");
    const options = { includeProgress: !output.quiet, signal, onLost, onKeeping, keepMs };
    for await (const response of followToKept(api, searchId, options)) {
      history.add(response);
      display.event(response);
    }
  } finally {
    display.close();
    output.handTo();
  }
  const { search } = await api.getSearch({ searchId }, { signal });
  if (search && hasEnded(search.state)) return search;
  throw new LatheError("INTERNAL", `the events of search ${searchId} ended, but it has not`);
}
