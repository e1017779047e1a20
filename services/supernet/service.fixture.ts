import { connect, type Bus } from "../../shared/events/bus";
import type { EventName, LatheEvent, StoredEvent } from "../../shared/events/catalog";
import type { Consumption } from "../../shared/events/pulls";
import { awaitEvent, replay } from "../../shared/events/history";
import { publishEvent, publishWork } from "../../shared/events/publisher";
import { provision } from "../../shared/events/streams";
import { createLogger } from "../../shared/process/logger";
import { createMetrics } from "../../shared/process/metrics";
import type { EpochCompleted } from "../../shared/proto/lathe/v1/events";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { candidatesLeft } from "../../shared/space/groups";
import { resolve } from "../../shared/spec/resolve";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { decideAll, halve } from "../../shared/testing/training";
import { consume, Trainer } from "./trainer";
import { trainingMetrics } from "./metrics";
import { supernetService } from "./rpc";
import { patience } from "../../shared/testing/until";

export const engine = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;
const lines: Record<string, unknown>[] = [];
export const logger = createLogger({ service: "test", write: (line) => lines.push(JSON.parse(line) as never) });
export const logged = (message: string, searchId: string) =>
  lines.filter((line) => line.msg === message && line.searchId === searchId);
let nats: TestNats;
export let bus: Bus;
export let rpc: TestRpc;
export let trainer: Trainer;
let consumption: Consumption;
const standIns: (() => Promise<void>)[] = [];
const metrics = createMetrics();

beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "supernet", logger });
  await provision(bus);
  trainer = new Trainer({ bus, engine, logger, metrics: trainingMetrics(metrics, () => trainer.worker.rssBytes()) });
  rpc = await startRpc([supernetService(bus, trainer)]);
  consumption = await consume(bus, trainer, 60_000);
});

afterAll(async () => {
  await Promise.all(standIns.map((end) => end()));
  await consumption?.stop();
  await rpc?.stop();
  await bus?.drain();
  await nats?.stop();
});

/** Stands in for the shrinking service: it halves the candidates after the first epoch and decides all groups after the second. */
export function answerTo({ metrics: told, architecture, space }: EpochCompleted): LatheEvent {
  const epoch = told!.epoch;
  const left = epoch === 1 ? halve(space!, architecture!, 1) : decideAll(space!, architecture!);
  if (epoch > 2) return { type: "space.kept", data: { epoch, converged: true } };
  const data = { epoch, removals: [], architecture: left, log10Space: 0, candidatesLeft: candidatesLeft(left) };
  return { type: "space.shrunk", data: { ...data, converged: epoch === 2 } };
}

export const keep = ({ metrics: told }: EpochCompleted): LatheEvent => ({
  type: "space.kept",
  data: { epoch: told!.epoch, converged: false },
});

/** Answers a search's epochs until stopped. */
export function shrinkingOf(id: string, answer: (epoch: EpochCompleted) => LatheEvent) {
  const stop = new AbortController();
  const running = (async () => {
    for await (const { event } of replay(bus, id, 0, stop.signal))
      if (event.type === "epoch.completed") await publishEvent(bus, id, answer(event.data));
  })();
  const end = async () => {
    stop.abort();
    await running;
  };
  standIns.push(end);
  return end;
}

export async function newSearch(asked: SearchSpec): Promise<string> {
  const { spec, space } = resolve(asked);
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "search.created", data: { spec, space, specSha256: "" } });
  return id;
}

export function queue(id: string, asked: SearchSpec, resumption = 0) {
  const { spec, space } = resolve(asked);
  const data = { spec, space, costTable: macsTable(space), resumption, candidate: 0 };
  return publishWork(bus, { searchId: id, kind: "train", data, ordinal: resumption });
}

export const told = <N extends EventName>(id: string, type: N, accept: (event: never) => boolean = () => true) =>
  awaitEvent(bus, id, 0, ({ event }) => event.type === type && accept(event.data as never), patience());
export const epochs = (history: StoredEvent[]) =>
  history.flatMap(({ event }) => (event.type === "epoch.completed" ? [event.data.metrics!.epoch] : []));
export const names = (history: StoredEvent[]) => history.map(({ event }) => event.type);
