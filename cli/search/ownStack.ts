import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchServiceClient, type Search } from "../../shared/proto/lathe/v1/search";
import { connect } from "../../shared/rpc/client";
import { follow, hasEnded, type SearchApi } from "./follow";
import { openHistory } from "./history";
import { startStack } from "../stack/stack";
import { openDisplay } from "../view/terminal";

/** Room on a disk is somebody's to make; a run in a script must end. */
const storagePatienceMs = 60_000;

/** Prints lines while a command works. While a search is shown, its display prints them. */
export class StatusOutput {
  private through: ((line: string) => void) | undefined;

  /** `quiet`: stdout belongs to a program, and `plain` goes elsewhere. */
  constructor(
    readonly quiet: boolean,
    private readonly plain: (line: string) => void,
  ) {}

  say(line: string): void {
    (this.through ?? this.plain)(line);
  }

  /** Hands the lines to a display; without one they are plain again. */
  handTo(through?: (line: string) => void): void {
    this.through = through;
  }
}

/** Starts a stack in a folder, calls `use` with its search service and stops it; the signal is aborted by `interrupted`, and when the stack breaks. */
export async function inOwnStack<T>(
  folder: string,
  output: StatusOutput,
  interrupted: AbortSignal,
  use: (api: SearchApi, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (!output.quiet) output.say(`starting the local stack; logs are in ${join(folder, "logs")}`);
  const say = (line: string) => output.say(line);
  const stack = await startStack({ folder, say, signal: interrupted, storagePatienceMs });
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

/** Shows a search and records it in a folder (history.jsonl, epochs.csv) until it has ended; gives its last record. */
export async function recordSearch(
  api: SearchApi,
  searchId: string,
  folder: string,
  output: StatusOutput,
  signal: AbortSignal,
): Promise<Search> {
  const history = openHistory(folder);
  const display = openDisplay(searchId, process.stdout, { silent: output.quiet });
  if (!output.quiet) output.handTo((line) => display.say(line));
  try {
    const onLost = (error: LatheError) => output.say(`connection lost, retrying: ${error.message}`);
    for await (const response of follow(api, searchId, { includeProgress: !output.quiet, signal, onLost })) {
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
