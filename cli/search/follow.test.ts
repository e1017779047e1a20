import { LatheError } from "../../shared/process/errors";
import { Search, SearchState, WatchSearchResponse, type WatchSearchRequest } from "../../shared/proto/lathe/v1/search";
import { follow, type SearchApi } from "./follow";

const at = (sequence: number) => WatchSearchResponse.fromPartial({ sequence });
const gone = new LatheError("UNAVAILABLE", "the search service is not reachable");

const quiet = { ms: 600_000 };
const { SEARCH_STATE_RUNNING: RUNNING, SEARCH_STATE_SUCCEEDED: SUCCEEDED, SEARCH_STATE_FAILED: FAILED } = SearchState;

let now = 0;
beforeEach(() => jest.spyOn(performance, "now").mockImplementation(() => now));
afterEach(() => jest.restoreAllMocks());

/**
 * A service whose streams are scripted: sequences and quiet times, then a loss or the regular end. Its answers to getSearch are errors,
 * or states with the newest sequence; the last one repeats.
 */
function service(
  streams: (number | Error | typeof quiet)[][],
  answers: (SearchState | Error)[] = [SUCCEEDED],
  last = 0,
) {
  const asked: number[] = [];
  const api = {
    async *watchSearch(request: WatchSearchRequest) {
      asked.push(request.fromSequence);
      for (const one of streams.shift() ?? []) {
        if (one instanceof Error) throw one;
        if (typeof one === "object") now += one.ms;
        else yield await Promise.resolve(at(one));
      }
    },
    getSearch: () => {
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      if (answer instanceof Error) return Promise.reject(answer);
      return Promise.resolve({ search: Search.fromPartial({ state: answer, lastSequence: last }) });
    },
  } as Pick<SearchApi, "watchSearch" | "getSearch">;
  return { api, asked };
}

async function sequences(events: AsyncIterable<WatchSearchResponse>): Promise<number[]> {
  const seen: number[] = [];
  for await (const { sequence } of events) seen.push(sequence);
  return seen;
}

describe("follow", () => {
  it("continues with the next event after a loss, each event once", async () => {
    const { api, asked } = service([[3, 0, 5, gone], [gone], [5, 6, 9]]);
    const lost: string[] = [];
    expect(await sequences(follow(api, "s-1", { onLost: ({ message }) => lost.push(message) }))).toEqual([
      3, 0, 5, 6, 9,
    ]);
    expect(asked).toEqual([0, 6, 6]);
    expect(lost).toEqual([gone.message]);
  });

  it("calls again if a stream ends before the search", async () => {
    const { api, asked } = service([[1], [2]], [RUNNING, FAILED]);
    expect(await sequences(follow(api, "s-1"))).toEqual([1, 2]);
    expect(asked).toEqual([0, 2]);
  });

  const cut = () => Array.from({ length: 9 }, () => [{ ms: 40_000 }, gone]);

  it.each([
    ["is not reachable, however long a proxy keeps each call", gone, 0],
    ["does not answer in time", new LatheError("DEADLINE_EXCEEDED", "no answer"), 0],
    ["answers, but no stream brings the event that it has", RUNNING, 1],
    ["answers, but no stream brings the end", SUCCEEDED, 0],
  ])("gives up after its patience where the service %s", async (_, answer, last) => {
    const { api, asked } = service(cut(), [answer], last);
    await expect(sequences(follow(api, "s-1", { patienceMs: 60_000 }))).rejects.toBe(gone);
    expect(asked).toEqual([0, 0, 0]);
  });

  it("ends immediately on any other error", async () => {
    const missing = new LatheError("NOT_FOUND", "no search s-1");
    await expect(sequences(follow(service([[missing]]).api, "s-1"))).rejects.toBe(missing);
    await expect(sequences(follow(service([[gone]], [missing]).api, "s-1"))).rejects.toBe(missing);
  });

  it("continues for any time where the service answers and has no further event", async () => {
    const { api, asked } = service(
      [[1, gone], [quiet, gone], [quiet, gone], [2]],
      [RUNNING, RUNNING, RUNNING, FAILED],
      1,
    );
    const lost: string[] = [];
    const onLost = ({ message }: LatheError) => lost.push(message);
    expect(await sequences(follow(api, "s-1", { onLost }))).toEqual([1, 2]);
    expect(asked).toEqual([0, 2, 2, 2]);
    expect(lost).toHaveLength(3);
  });

  it("ends by its signal, also during a wait", async () => {
    const interrupt = new AbortController();
    const reason = new LatheError("CANCELLED", "interrupted");
    const { api } = service([[gone], [gone], [gone]]);
    const ended = sequences(
      follow(api, "s-1", { signal: interrupt.signal, onLost: () => setTimeout(() => interrupt.abort(reason), 5) }),
    );
    await expect(ended).rejects.toBe(reason);
  });
});
