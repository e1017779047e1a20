import { LatheError } from "../../shared/process/errors";
import { Search, SearchState, WatchSearchResponse, type WatchSearchRequest } from "../../shared/proto/lathe/v1/search";
import type { SearchApi } from "./follow";
import { followToKept } from "./kept";

type Case = NonNullable<WatchSearchResponse["event"]>["$case"];
const gone = new LatheError("UNAVAILABLE", "the search service is not reachable");
const kept = { conditions: [{ type: "Kept", message: "the argmax" }] };

/** A service whose search has ended with these events. Each look at its record gives the next answer; the last one repeats. */
function service(events: [number, Case][], answers: (Parameters<typeof Search.fromPartial>[0] | Error)[]) {
  const api = {
    async *watchSearch({ fromSequence }: WatchSearchRequest) {
      for (const [sequence, $case] of events)
        if (sequence >= fromSequence)
          // TypeScript does not check a union of so many cases against each other.
          yield await Promise.resolve(
            WatchSearchResponse.fromPartial({ sequence, event: { $case, value: {} } as { $case: "searchPaused" } }),
          );
    },
    getSearch: () => {
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      if (answer instanceof Error) return Promise.reject(answer);
      const search = Search.fromPartial({ state: SearchState.SEARCH_STATE_CANCELLED, ...answer });
      // WatchSearch sends the network only to later calls.
      if (search.conditions.length > 0) events = [...cancelled, [3, "networkKept"]];
      return Promise.resolve({ search });
    },
  } as Pick<SearchApi, "watchSearch" | "getSearch">;
  return api;
}
const cancelled: [number, Case][] = [
  [1, "searchCreated"],
  [2, "searchCancelled"],
];

async function seen(api: ReturnType<typeof service>, options: { keepMs?: number; signal?: AbortSignal } = {}) {
  const cases: (string | undefined)[] = [];
  const onKeeping = () => cases.push("waiting");
  for await (const { event } of followToKept(api, "s-1", { keepMs: 60_000, onKeeping, ...options }))
    cases.push(event?.$case);
  return cases;
}

describe("followToKept", () => {
  const both = ["searchCreated", "searchCancelled"];

  it("waits for the network of a cancelled search, across a loss of the service", async () =>
    expect(await seen(service(cancelled, [{}, {}, gone, kept]))).toEqual([...both, "waiting", "networkKept"]));

  it("waits for no network that is kept already, and for none of a search that was not cancelled", async () => {
    expect(await seen(service([...cancelled, [3, "networkKept"]], [kept]))).toEqual([...both, "networkKept"]);
    const ended = { state: SearchState.SEARCH_STATE_SUCCEEDED };
    expect(await seen(service([[1, "searchSucceeded"]], [ended]))).toEqual(["searchSucceeded"]);
  });

  it("ends without the network once its time is over, and at an interrupt", async () => {
    expect(await seen(service(cancelled, [{}]), { keepMs: -1 })).toEqual([...both, "waiting"]);
    const interrupted = new LatheError("CANCELLED", "interrupted");
    const signal = AbortSignal.abort(interrupted);
    await expect(seen(service(cancelled, [{}]), { signal })).rejects.toBe(interrupted);
  });
});
