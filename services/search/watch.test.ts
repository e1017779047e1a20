import { connect, type Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { historyOnce } from "../../shared/events/history";
import type { Announcement } from "../../shared/events/presence";
import { publishEvent } from "../../shared/events/publisher";
import { LatheError } from "../../shared/process/errors";
import { SearchServiceClient, SearchState } from "../../shared/proto/lathe/v1/search";
import { resolve } from "../../shared/spec/resolve";
import { quiet, startTestBus } from "../../shared/testing/bus";
import { announceDevice } from "../../shared/testing/devices";
import type { TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { Feeds } from "./feed";
import { until } from "../../shared/testing/until";
import { searchService } from "./rpc";
import { Projection } from "./projection";
import { watch } from "./watch";

const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
const made = workerEvents(resolve(tinySpec()).space);

let nats: TestNats;
let presence: Announcement;
const buses: Bus[] = [];
const replicas: TestRpc[] = [];

/** Two search services that answer calls. Neither consumes events: that is the slowest projection there can be. */
beforeAll(async () => {
  const first = await startTestBus();
  nats = first.nats;
  buses.push(first.bus, await connect({ url: nats.url, name: "second", logger: quiet }));
  presence = await announceDevice(first.bus);
  for (const bus of buses) replicas.push(await startRpc([searchService(bus, new Projection(bus, host), 1_000)]));
});
afterAll(async () => {
  for (const rpc of replicas) await rpc.stop();
  await presence?.stop();
  for (const bus of buses) await bus.drain();
  await nats?.stop();
});

const clients = () => replicas.map((rpc) => rpc.connect(SearchServiceClient).api);

it("sends an event once every read of every process includes it", async () => {
  const [one, other] = clients();
  const { search } = await one!.startSearch({ spec: tinySpec(), requestId: "" });
  const searchId = search!.id;
  const events: LatheEvent[] = [
    made.epoch(1),
    { type: "search.paused", data: {} },
    { type: "search.resumed", data: { resumption: 1 } },
    made.converged,
    { type: "search.failed", data: { reason: "BROKEN", message: "a test", phase: "derive", resumption: 1 } },
  ];
  const { SEARCH_STATE_RUNNING: RUNNING, SEARCH_STATE_PAUSED: PAUSED, SEARCH_STATE_FAILED: FAILED } = SearchState;
  const states = [SearchState.SEARCH_STATE_PENDING, RUNNING, PAUSED, RUNNING, RUNNING, FAILED];
  const read: unknown[] = [];
  const expected: unknown[] = [];
  for await (const { sequence } of one!.watchSearch({ searchId, fromSequence: 0, includeProgress: false })) {
    const { search: known } = await other!.getSearch({ searchId });
    const { searches } = await other!.listSearches({ pageSize: 0, pageToken: "", states: [known!.state], labels: {} });
    const { artifacts } = await other!.listArtifacts({ searchId });
    const files = artifacts.map(({ kind }) => kind);
    read.push({ lastSequence: known!.lastSequence, state: known!.state, listed: searches.map(({ id }) => id), files });
    const has = expected.length >= 4 ? ["checkpoint"] : [];
    expected.push({ lastSequence: sequence, state: states[expected.length], listed: [searchId], files: has });
    const next = events.shift();
    if (next) await publishEvent(buses[0]!, searchId, next, next.type === "search.paused" ? { ordinal: 1 } : {});
  }
  expect(read).toHaveLength(states.length);
  expect(read).toEqual(expected);
});

it("delays an event for an outage in which the record cannot be read, instead of breaking off", async () => {
  const [one] = clients();
  const { search } = await one!.startSearch({ spec: tinySpec(), requestId: "" });
  const searchId = search!.id;
  await publishEvent(buses[0]!, searchId, {
    type: "search.failed",
    data: { reason: "BROKEN", message: "", phase: "", resumption: 0 },
  });
  const answers = [new LatheError("UNAVAILABLE", "no answer"), new LatheError("UNAVAILABLE", "no answer"), undefined];
  const reach = (_: string, sequence: number) => {
    const answer = answers.shift();
    return answer ? Promise.reject(answer) : Promise.resolve(sequence);
  };
  const { signal } = new AbortController();
  const seen: unknown[] = [];
  for await (const { event } of watch(buses[0]!, new Feeds(buses[0]!, { reach }), search!, {
    fromSequence: 0,
    includeProgress: false,
    signal,
  }))
    seen.push(event?.$case);
  expect(seen).toEqual(["searchCreated", "searchFailed"]);
  expect(answers).toEqual([]);
});

describe("the watchers of one search", () => {
  const failedNow: LatheEvent = {
    type: "search.failed",
    data: { reason: "BROKEN", message: "", phase: "", resumption: 0 },
  };

  it("share one reader: each gets every event once and in order, from where it asked", async () => {
    const [one] = clients();
    const { search } = await one!.startSearch({ spec: tinySpec(), requestId: "" });
    const searchId = search!.id;
    const reached: number[] = [];
    const reach = (_: string, sequence: number) => Promise.resolve(reached.push(sequence) && sequence);
    const feeds = new Feeds(buses[0]!, { reach });
    const sequences: number[][] = [];
    const watcher = async (fromSequence: number) => {
      const { signal } = new AbortController();
      const mine: number[] = [];
      sequences.push(mine);
      for await (const { sequence } of watch(buses[0]!, feeds, search!, {
        fromSequence,
        includeProgress: true,
        signal,
      }))
        if (sequence > 0) mine.push(sequence);
    };
    const watching = Array.from({ length: 100 }, () => watcher(0));
    await publishEvent(buses[0]!, searchId, made.epoch(1));
    await until(() => sequences.every(({ length }) => length === 2));
    // Joins later, and asks for earlier events and for later ones than the feed begins with.
    const middle = sequences[0]![1]!;
    const late = [watcher(0), watcher(middle), watcher(middle + 1)];
    await publishEvent(buses[0]!, searchId, made.kept(1));
    await publishEvent(buses[0]!, searchId, failedNow);
    await Promise.all([...watching, ...late]);
    const all = (await historyOnce(buses[0]!, searchId)).map(({ sequence }) => sequence);
    expect(sequences).toEqual([...Array<number[]>(100).fill(all), all, all.slice(1), all.slice(2)]);
    expect(reached).toEqual(all);
  });

  it("read for themselves what the reader keeps no longer", async () => {
    const [one] = clients();
    const { search } = await one!.startSearch({ spec: tinySpec(), requestId: "" });
    const searchId = search!.id;
    const feeds = new Feeds(buses[0]!, { reach: (_, sequence) => Promise.resolve(sequence) });
    const { signal } = new AbortController();
    const slow = watch(buses[0]!, feeds, search!, { fromSequence: 0, includeProgress: false, signal });
    const seen = [(await slow.next()).value!.sequence];
    for (let n = 1; n <= 1_100; n++)
      await publishEvent(buses[0]!, searchId, { type: "space.kept", data: { epoch: n, converged: false } });
    await publishEvent(buses[0]!, searchId, failedNow);
    const fast: number[] = [];
    const fromSequence = seen[0]! + 1_000;
    for await (const { sequence } of watch(buses[0]!, feeds, search!, { fromSequence, includeProgress: false, signal }))
      fast.push(sequence);
    for await (const { sequence } of slow) seen.push(sequence);
    const all = (await historyOnce(buses[0]!, searchId)).map(({ sequence }) => sequence);
    expect(all).toHaveLength(1_102);
    expect(seen).toEqual(all);
    expect(fast).toEqual(all.filter((sequence) => sequence >= fromSequence));
  });

  it("end with the search although they ask for events after its end", async () => {
    const [one] = clients();
    const { search } = await one!.startSearch({ spec: tinySpec(), requestId: "" });
    const events = one!.watchSearch({ searchId: search!.id, fromSequence: 1_000_000, includeProgress: false });
    const first = events[Symbol.asyncIterator]().next();
    await publishEvent(buses[0]!, search!.id, failedNow);
    expect(await first).toMatchObject({ done: true });
  });
});
