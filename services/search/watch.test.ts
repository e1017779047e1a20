import { connect, type Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { publishEvent } from "../../shared/events/publisher";
import { LatheError } from "../../shared/process/errors";
import { SearchServiceClient, SearchState } from "../../shared/proto/lathe/v1/search";
import { resolve } from "../../shared/spec/resolve";
import { quiet, startTestBus } from "../../shared/testing/bus";
import type { TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { searchService } from "./rpc";
import { Projection } from "./projection";
import { watch } from "./watch";

const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
const made = workerEvents(resolve(tinySpec()).space);

let nats: TestNats;
const buses: Bus[] = [];
const replicas: TestRpc[] = [];

/** Two search services that answer calls. Neither consumes events: that is the slowest projection there can be. */
beforeAll(async () => {
  const first = await startTestBus();
  nats = first.nats;
  buses.push(first.bus, await connect({ url: nats.url, name: "second", logger: quiet }));
  for (const bus of buses) replicas.push(await startRpc([searchService(bus, new Projection(bus, host), 1_000)]));
});
afterAll(async () => {
  for (const rpc of replicas) await rpc.stop();
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
    { type: "search.failed", data: { reason: "BROKEN", message: "a test", phase: "derive" } },
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
    data: { reason: "BROKEN", message: "", phase: "" },
  });
  const answers = [new LatheError("UNAVAILABLE", "no answer"), new LatheError("UNAVAILABLE", "no answer"), undefined];
  const reach = (_: string, sequence: number) => {
    const answer = answers.shift();
    return answer ? Promise.reject(answer) : Promise.resolve(sequence);
  };
  const { signal } = new AbortController();
  const seen: unknown[] = [];
  for await (const { event } of watch(buses[0]!, { reach }, search!, {
    fromSequence: 0,
    includeProgress: false,
    signal,
  }))
    seen.push(event?.$case);
  expect(seen).toEqual(["searchCreated", "searchFailed"]);
  expect(answers).toEqual([]);
});
