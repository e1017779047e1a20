import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { publishEvent } from "../../shared/events/publisher";
import type { Announcement } from "../../shared/events/presence";
import type { Consumption } from "../../shared/events/pulls";
import { takeWork, type WorkItem } from "../../shared/events/work";
import type { LatheError } from "../../shared/process/errors";
import { createMetrics } from "../../shared/process/metrics";
import { SearchServiceClient, SearchState, Search, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { resolve } from "../../shared/spec/resolve";
import { startTestBus } from "../../shared/testing/bus";
import { announceDevice } from "../../shared/testing/devices";
import type { TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { consume } from "./consumer";
import { searchMetrics } from "./metrics";
import { searchService } from "./rpc";
import { Projection } from "./projection";
import { until } from "../../shared/testing/until";

export const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
export const { space } = resolve(tinySpec());
export const made = workerEvents(space);
let nats: TestNats;
export let bus: Bus;
let rpc: TestRpc;
let consumption: Consumption;
export let projection: Projection;
export const metrics = createMetrics();
const observed = searchMetrics(metrics);
export const trained: WorkItem<"train">[] = [];
let trainers: Consumption;
let presence: Announcement;
export const opened: Consumption[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((worker) => worker.stop()));
});

const client = () => rpc.connect(SearchServiceClient).api;
export let api: ReturnType<typeof client>;

/** host:port of the service. */
export const address = () => rpc.address;

beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
  presence = await announceDevice(bus);
  projection = new Projection(bus, host);
  consumption = await consume(bus, projection, observed, { backoffMs: 10 });
  rpc = await startRpc([searchService(bus, projection, 1_000)]);
  api = client();
  trainers = await takeWork(bus, {
    queues: [{ kind: "train" }],
    handler: (work) => Promise.resolve(void trained.push(work)),
    onExhausted: () => Promise.resolve(),
  });
});

afterAll(async () => {
  await rpc?.stop();
  await trainers?.stop();
  await presence?.stop();
  await consumption?.stop();
  await bus?.drain();
  await nats?.stop();
});

/** Does something while the projection's consumer does not run. */
export async function withoutConsumer(body: () => Promise<void>): Promise<void> {
  await consumption.stop();
  try {
    await body();
  } finally {
    consumption = await consume(bus, projection, observed, { backoffMs: 10 });
  }
}

/** Does something while no latency worker is alive, but for those that it starts itself. */
export async function withoutWorkers(body: () => Promise<void>): Promise<void> {
  await presence.stop();
  try {
    await body();
  } finally {
    presence = await announceDevice(bus);
  }
}

export const failure = (run: Promise<unknown>): Promise<LatheError> =>
  run.then(
    () => Promise.reject(new Error("no failure")),
    (error: LatheError) => error,
  );

export async function begin(
  overrides: Parameters<typeof tinySpec>[0] = {},
  requestId = "",
  waitForDevice = false,
): Promise<Search> {
  const { search } = await api.startSearch({ spec: tinySpec(overrides), requestId, waitForDevice });
  return search!;
}

export const inState = (id: string, state: SearchState) =>
  until(
    async () => (await api.getSearch({ searchId: id })).search!,
    (search) => search.state === state,
  );
export const publish = (id: string, ...events: LatheEvent[]) =>
  events.reduce<Promise<unknown>>(
    (before, event) => before.then(() => publishEvent(bus, id, event)),
    Promise.resolve(),
  );
export const watchAll = async (id: string, fromSequence = 0) => {
  const seen: WatchSearchResponse[] = [];
  for await (const each of api.watchSearch({ searchId: id, fromSequence, includeProgress: false })) seen.push(each);
  return seen;
};

export const cases = (seen: readonly WatchSearchResponse[]) => seen.map(({ event }) => event?.$case);

/** The lines of the metrics endpoint that name a search. */
export const scraped = async (id: string) =>
  (await metrics.registry.metrics()).split("\n").filter((line) => line.includes(`"${id}"`));
