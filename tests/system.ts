import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startStack, type Stack } from "../cli/stack/stack";
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
import { childrenOf, isAlive } from "../shared/testing/processes";
import { patience, until } from "../shared/testing/until";
import { compiled } from "./compiled";

/** Settings of services in tests: the lease of a dead worker ends after 4 s instead of a minute. */
export const SERVICE_ENV = { LATHE_LEASE: "4s", LATHE_THREADS: "1" };

/** The five services and their bus, as `lathe up` starts them, with methods to inspect and to disturb them. */
export class System {
  readonly search: Connection<typeof SearchServiceService>;
  readonly supernet: Connection<typeof SupernetServiceService>;

  private constructor(
    readonly stack: Stack,
    readonly bus: Bus,
    /** Messages of the launcher, such as restarts. */
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
      env: { ...SERVICE_ENV, ...env },
      say: (line) => said.push(line),
    });
    return System.on(stack, said);
  }

  /** A stack that is started already. */
  static async on(stack: Stack, said: readonly string[] = []): Promise<System> {
    return new System(stack, await connectBus({ url: stack.natsUrl, name: "test", logger: quiet }), said);
  }

  /** Stops the stack and removes its folder, unless `keepFolder` is set for another start in it. */
  async stop({ keepFolder = false } = {}): Promise<void> {
    this.search.close();
    this.supernet.close();
    await this.bus.drain();
    await this.stack.stop();
    if (!keepFolder) rmSync(this.stack.folder, { recursive: true, force: true });
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

  /** Waits for the first event of this name (and epoch or resumption). */
  event(searchId: string, name: StoredEvent["event"]["type"], epoch?: number): Promise<StoredEvent> {
    const accept = ({ event }: StoredEvent) => event.type === name && (epoch === undefined || epochOf(event) === epoch);
    return awaitEvent(this.bus, searchId, 0, accept, patience());
  }

  /** Waits for the end of a search, and returns its record with that end. */
  async ended(searchId: string): Promise<Search> {
    const over = ["search.succeeded", "search.failed", "search.cancelled"];
    const accept = ({ event }: StoredEvent) => over.includes(event.type);
    await awaitEvent(this.bus, searchId, 0, accept, patience());
    return until(
      () => this.get(searchId),
      (search) => search.state >= SearchState.SEARCH_STATE_SUCCEEDED,
    );
  }

  /** Runs a whole search; returns its last record and every event. */
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

  /** Resolves once no training process runs. */
  async trainersGone(): Promise<void> {
    await until(() => this.trainers().length === 0);
  }

  /** Kills the running training process, or the next one where none runs. */
  async killTrainer(): Promise<void> {
    const pid = await until(() => this.trainers()[0]);
    process.kill(pid!, "SIGKILL");
    await until(() => !isAlive(pid!));
  }

  /** Resolves once a search has done steps of an epoch of its training or retraining, or of a later one. */
  async inEpoch(searchId: string, epoch: number): Promise<void> {
    await until(
      () => this.supernet.api.getTrainingStatus({}),
      (status) =>
        status.searchId === searchId &&
        status.progress !== undefined &&
        (status.progress.epoch > epoch || (status.progress.epoch === epoch && status.progress.step > 1)),
    );
  }

  /** Sequence of the last message of a stream, and the number of messages that it holds. */
  async stream(name: string): Promise<{ last: number; messages: number }> {
    const { state } = await jetstream(this.bus, { what: name }, ({ streams }) => streams.info(name));
    return { last: state.last_seq, messages: state.messages };
  }
}

export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), "lathe-system-"));
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
