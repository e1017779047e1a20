import { join } from "node:path";
import type { StoredEvent } from "../../shared/events/catalog";
import { queuedWork } from "../../shared/testing/bus";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { longSpec, smallSpec } from "../specs";
import { System } from "../system";
import type { Seen } from "./examples";
import { objectsOf, standIns, tokenLike, type StandIns } from "./roles";
import { until } from "./until";

/** Searches that the fuzzer starts have little room, so that a paper-sized one fails at once instead of filling the machine. */
const ENV = {
  LATHE_MAX_SEARCHES: "16",
  LATHE_TRAINING_MEMORY: "512",
  NODE_OPTIONS: `--require ${join(__dirname, "collect.cjs")}`,
};

/** The stack that is called, with searches in each state. */
export class Site {
  private ended: Search | undefined;

  private constructor(
    readonly system: System,
    private readonly limitMs: number,
  ) {}

  static async start(limitMs: number): Promise<Site> {
    return new Site(await System.start(ENV), limitMs);
  }

  /** Answers about a search that has ended. Equal seeds give equal answers on one machine. */
  async see(): Promise<Seen> {
    const { artifacts, space, id, result } = await this.endedSearch();
    const history = await this.system.history(id);
    return {
      space: space!,
      architectures: history.flatMap(({ event }) => architectureOf(event) ?? []),
      genotype: result!.genotype!,
      objects: objectsOf(artifacts),
      pageToken: tokenLike(await this.pageToken()),
    };
  }

  /** Starts what is missing of the searches by role. The trainer has the running one, so that the waiting one waits. */
  async prepare(): Promise<StandIns> {
    const { id: ended, artifacts } = await this.endedSearch();
    const running = await this.begin(longSpec({ training: { epochs: 1000, batchSize: 4, warmupEpochs: 1 } }));
    await this.system.inEpoch(running, 1);
    const [waiting, paused, cancelled, deleted] = [
      await this.begin(longSpec({ seed: 8 })),
      await this.begin(longSpec({ seed: 9 })),
      await this.begin(longSpec({ seed: 10 })),
      await this.begin(longSpec({ seed: 11 })),
    ];
    const { api } = this.system.search;
    await api.pauseSearch({ searchId: paused });
    for (const searchId of [cancelled, deleted]) await api.cancelSearch({ searchId, reason: "fuzz" });
    await api.deleteSearch({ searchId: deleted });
    return standIns({ waiting, running, paused, ended, cancelled, deleted }, artifacts, await this.pageToken());
  }

  /** Ends and deletes every search but the ended one, and waits until the workers rest and no call is open. */
  async settle(): Promise<void> {
    await this.deleteAll((id) => id !== this.ended?.id);
    await this.rests();
  }

  /** Shows that the services still work: a search ends as it should, and nothing is left once all are deleted. */
  async finish(): Promise<void> {
    const { search } = await this.system.run(smallSpec());
    if (search.state !== SearchState.SEARCH_STATE_SUCCEEDED)
      throw new Error(
        `a valid search at the end is ${SearchState[search.state]}: ${JSON.stringify(search.conditions)}`,
      );
    await this.deleteAll(() => true);
    await this.rests();
    for (const stream of ["EVENTS", "WORK", "OBJ_ARTIFACTS", "OBJ_CHECKPOINTS"]) {
      const { messages } = await this.system.stream(stream);
      if (messages > 0) throw new Error(`stream ${stream} has ${messages} messages after every search was deleted`);
    }
  }

  private async rests(): Promise<void> {
    await until(
      "an empty work queue",
      this.limitMs,
      () => queuedWork(this.system.bus),
      (items) => items === 0,
    );
    await until(
      "the end of the trainings",
      this.limitMs,
      () => this.system.trainers(),
      (pids) => pids.length === 0,
    );
    for (const [service, { http }] of Object.entries(this.system.stack.addresses()))
      await until(
        `the end of all calls of ${service}`,
        this.limitMs,
        () => openCalls(http),
        (open) => open.length === 0,
      );
  }

  private async endedSearch(): Promise<Search> {
    const known = this.ended && (await this.find(this.ended.id));
    if (!known) this.ended = (await this.system.run(smallSpec())).search;
    return this.ended!;
  }

  private async find(searchId: string): Promise<Search | undefined> {
    return (await this.listed()).find(({ id }) => id === searchId);
  }

  private async listed(): Promise<Search[]> {
    const { api } = this.system.search;
    return (await api.listSearches({ pageSize: 200, pageToken: "", states: [], labels: {} })).searches;
  }

  private async deleteAll(chosen: (id: string) => boolean): Promise<void> {
    const { api } = this.system.search;
    for (const { id, state } of await this.listed()) {
      if (!chosen(id)) continue;
      // It may have ended since it was listed, or a call that its client gave up has deleted it.
      if (state < SearchState.SEARCH_STATE_SUCCEEDED)
        await api.cancelSearch({ searchId: id, reason: "" }).catch(unless("FAILED_PRECONDITION", "NOT_FOUND"));
      await api.deleteSearch({ searchId: id }).catch(unless("NOT_FOUND"));
    }
  }

  /** The token of a list with more than one search. */
  private async pageToken(): Promise<string> {
    const { api } = this.system.search;
    const one = { pageSize: 1, pageToken: "", states: [], labels: {} };
    if ((await this.listed()).length < 2) await this.begin(longSpec({ seed: 12 }));
    return (await api.listSearches(one)).nextPageToken;
  }

  private begin(spec: SearchSpec): Promise<string> {
    return this.system.begin(spec);
  }
}

const unless =
  (...codes: string[]) =>
  (error: Error & { code?: string }) => {
    if (!codes.includes(error.code ?? "")) throw error;
  };

function architectureOf(event: StoredEvent["event"]) {
  return event.type === "epoch.completed" ? event.data.architecture : undefined;
}

/** Methods of a service with calls that have begun and not ended, by its metrics. */
async function openCalls(http: string): Promise<string[]> {
  const text = await (await fetch(`http://${http}/metrics`)).text();
  const open = new Map<string, number>();
  const series = /^grpc_server_(started|handled)_total\{[^}]*grpc_method="(\w+)"[^}]*\} (\d+)$/gm;
  for (const [, counter, method = "", value] of text.matchAll(series))
    open.set(method, (open.get(method) ?? 0) + (counter === "started" ? 1 : -1) * Number(value));
  return [...open].filter(([, calls]) => calls !== 0).map(([method, calls]) => `${method} ${calls}`);
}
