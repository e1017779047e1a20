import { createRandom } from "../../shared/engine/random";
import { LatheError } from "../../shared/process/errors";
import { HealthClient } from "../../shared/proto/grpc/health/v1/health";
import { SearchServiceClient } from "../../shared/proto/lathe/v1/search";
import { connect } from "../../shared/rpc/client";
import { benchSpec } from "./history";
import type { Stored } from "./store";

/** Uncounted calls at the start of each series, during which the fresh process compiles its code. */
const WARM_UP = 20;

interface CallOptions {
  /** host:port of the search service. */
  address: string;
  stored: Pick<Stored, "finished" | "running">;
  /** Number of calls of each kind, without warm-up. */
  calls: number;
}

/** Milliseconds of each call. Calls are made one at a time, and the kinds take turns. */
export async function timeCalls({ address, stored, calls }: CallOptions): Promise<Record<string, number[]>> {
  const connection = connect(SearchServiceClient, address);
  const { api } = connection;
  const health = connect(HealthClient, address);
  const random = createRandom(1, "bench");
  const one = (ids: readonly string[]) => ids[random.integer(ids.length)] ?? "";
  const series: Record<string, number[]> = {};
  const begun: string[] = [];
  const time = async (name: string, call: () => Promise<unknown>) => {
    const started = performance.now();
    await call();
    (series[name] ??= []).push(performance.now() - started);
  };
  const firstEvent = async (searchId: string) => {
    const stop = new AbortController();
    const request = { searchId, fromSequence: 0, includeProgress: false };
    for await (const { event } of api.watchSearch(request, { signal: stop.signal })) {
      if (event?.$case !== "searchCreated")
        throw new LatheError("INTERNAL", `the first event of ${searchId} is ${event?.$case ?? "none"}`);
      return;
    }
  };
  const page = { pageSize: 50, pageToken: "", labels: {} };
  const kinds = {
    // Uses neither NATS nor a search, and so measures the share of the machine and gRPC.
    "Health.Check, for comparison": () => health.api.check({ service: "" }),
    "GetSearch, finished": () => api.getSearch({ searchId: one(stored.finished) }),
    "GetSearch, running": () => api.getSearch({ searchId: one(stored.running) }),
    "ListSearches, first page of 50": () => api.listSearches({ ...page, states: [] }),
    "WatchSearch, first event, finished": () => firstEvent(one(stored.finished)),
    "WatchSearch, first event, running": () => firstEvent(one(stored.running)),
    StartSearch: async () => {
      const { search } = await api.startSearch({ spec: benchSpec(200), requestId: "" });
      begun.push(search?.id ?? "");
    },
  };
  try {
    for (let round = -WARM_UP; round < calls; round++) {
      for (const [name, call] of Object.entries(kinds)) await time(name, call);
      if (round === -1) for (const name of Object.keys(series)) series[name] = [];
    }
    // In practice this many searches do not wait for a trainer, so drop them.
    for (const searchId of begun) await api.cancelSearch({ searchId, reason: "" });
    for (let round = 0; round < 5; round++)
      await time("WatchSearch, whole history", async () => {
        const request = { searchId: one(stored.finished), fromSequence: 0, includeProgress: false };
        let last: string | undefined;
        for await (const { event } of api.watchSearch(request)) last = event?.$case;
        if (last !== "searchSucceeded") throw new LatheError("INTERNAL", `a history ends with ${last ?? "nothing"}`);
      });
    return series;
  } finally {
    health.close();
    connection.close();
  }
}

/** Counts the searches of all pages of the list. */
export async function countListed(address: string): Promise<number> {
  const connection = connect(SearchServiceClient, address);
  try {
    let found = 0;
    for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
      const answer = await connection.api.listSearches({ pageSize: 200, pageToken, states: [], labels: {} });
      found += answer.searches.length;
      pageToken = answer.nextPageToken;
    }
    return found;
  } finally {
    connection.close();
  }
}
