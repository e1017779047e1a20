import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startStack, type Stack } from "../deploy/local/stack";
import { connect as connectBus, type Bus } from "../shared/events/bus";
import type { StoredEvent } from "../shared/events/catalog";
import { awaitEvent, historyOnce } from "../shared/events/history";
import { api as jetstream } from "../shared/events/jetstream";
import {
  SearchServiceClient,
  SearchState,
  type Search,
  type SearchServiceService,
} from "../shared/proto/lathe/v1/search";
import type { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { SupernetServiceClient, type SupernetServiceService } from "../shared/proto/lathe/v1/supernet";
import { connect, type Connection } from "../shared/rpc/client";
import { quiet } from "../shared/testing/bus";
import { compiled } from "./compiled";

/** How long a search of these tests may take on a machine that does other work too. */
export const PATIENCE_MS = 120_000;

/** The five services and their bus, as `lathe up` starts them, with what a test needs to look at them and to disturb them. */
export class System {
  readonly search: Connection<typeof SearchServiceService>;
  readonly supernet: Connection<typeof SupernetServiceService>;

  private constructor(
    readonly stack: Stack,
    readonly bus: Bus,
    /** What the launcher says: restarts. */
    readonly said: readonly string[],
  ) {
    const addresses = stack.addresses();
    this.search = connect(SearchServiceClient, addresses.search.grpc);
    this.supernet = connect(SupernetServiceClient, addresses.supernet.grpc);
  }

  static async start(env: Readonly<Record<string, string>> = {}, folder = newFolder()): Promise<System> {
    const said: string[] = [];
    const stack = await startStack({
      folder,
      services: join(compiled(), "services"),
      // A worker that dies is missed after 4 s instead of a minute.
      env: { LATHE_LEASE: "4s", LATHE_THREADS: "1", ...env },
      say: (line) => said.push(line),
    });
    const bus = await connectBus({ url: stack.natsUrl, name: "test", logger: quiet });
    return new System(stack, bus, said);
  }

  async stop(): Promise<void> {
    this.search.close();
    this.supernet.close();
    await this.bus.drain();
    await this.stack.stop();
    rmSync(this.stack.folder, { recursive: true, force: true });
  }

  async begin(spec: SearchSpec): Promise<string> {
    const { search } = await this.search.api.startSearch({ spec, requestId: "" });
    return search!.id;
  }

  async get(searchId: string): Promise<Search> {
    return (await this.search.api.getSearch({ searchId })).search!;
  }

  history(searchId: string): Promise<StoredEvent[]> {
    return historyOnce(this.bus, searchId);
  }

  /** The first event of this name (and epoch or resumption), waiting for it. */
  event(searchId: string, name: StoredEvent["event"]["type"], epoch?: number): Promise<StoredEvent> {
    const accept = ({ event }: StoredEvent) => event.type === name && (epoch === undefined || epochOf(event) === epoch);
    return awaitEvent(this.bus, searchId, 0, accept, AbortSignal.timeout(PATIENCE_MS));
  }

  /** The record of a search once it has ended and the record says so. */
  async ended(searchId: string): Promise<Search> {
    const over = ["search.succeeded", "search.failed", "search.cancelled"];
    const accept = ({ event }: StoredEvent) => over.includes(event.type);
    await awaitEvent(this.bus, searchId, 0, accept, AbortSignal.timeout(PATIENCE_MS));
    return this.until(
      () => this.get(searchId),
      (search) => search.state >= SearchState.SEARCH_STATE_SUCCEEDED,
    );
  }

  /** A whole search: its last record and every event. */
  async run(spec: SearchSpec): Promise<{ search: Search; history: StoredEvent[] }> {
    const id = await this.begin(spec);
    return { search: await this.ended(id), history: await this.history(id) };
  }

  async download(searchId: string, object: string): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const { chunk } of this.search.api.downloadArtifact({ searchId, object })) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Process ids of the training processes that run now. */
  trainers(): number[] {
    return childrenOf(this.stack.addresses().supernet.pid);
  }

  /** How many messages a stream has ever taken in, and how many it holds. */
  async stream(name: string): Promise<{ last: number; messages: number }> {
    const { state } = await jetstream<{ state: { last_seq: number; messages: number } }>(
      this.bus,
      `STREAM.INFO.${name}`,
      undefined,
      { what: name },
    );
    return { last: state.last_seq, messages: state.messages };
  }

  /** Looks again until it is as it should be. */
  async until<T>(look: () => T | Promise<T>, accept: (seen: T) => boolean, ms = PATIENCE_MS): Promise<T> {
    for (const deadline = Date.now() + ms; ; await pause(20)) {
      const seen = await look();
      if (accept(seen)) return seen;
      if (Date.now() > deadline) throw new Error(`not within ${ms} ms; last seen: ${JSON.stringify(seen)}`);
    }
  }
}

export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), "lathe-system-"));
}

export function isAlive(pid: number): boolean {
  try {
    // A zombie waits for its parent only.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Process ids of the processes that a process has started. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => parentOf(child) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // After the name, which may hold spaces and brackets: state, parent.
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? undefined : Number(parent);
  } catch {
    // Gone since the folder was read.
    return undefined;
  }
}

/** Epoch, index or resumption that an event carries. */
export function epochOf(event: StoredEvent["event"]): number | undefined {
  switch (event.type) {
    case "epoch.completed":
      return event.data.metrics?.epoch;
    case "space.shrunk":
    case "space.kept":
    case "sampling.epoch.completed":
    case "retraining.epoch.completed":
      return event.data.epoch;
    case "candidate.evaluated":
      return event.data.index;
    case "search.resumed":
      return event.data.resumption;
    default:
      return undefined;
  }
}
