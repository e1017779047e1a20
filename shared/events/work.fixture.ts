import { RetrainWork } from "../proto/lathe/v1/events";
import { startTestBus } from "../testing/bus";
import type { TestNats } from "../testing/nats";
import type { Bus } from "./bus";
import type { Consumption } from "./pulls";
import { api } from "./jetstream";
import { publishWork } from "./publisher";
import { WORK_STREAM } from "./subjects";
import { takeWork } from "./work";

export let nats: TestNats;
export let bus: Bus;
export const open: Consumption[] = [];

beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((consumption) => consumption.stop()));
  await api(bus, { what: "purge" }, ({ streams }) => streams.purge(WORK_STREAM));
});

afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

export type Options = Partial<Parameters<typeof takeWork<"retrain">>[1]>;

export async function work(options: Options, on = bus): Promise<Consumption> {
  const consumption = await takeWork(on, {
    queues: [{ kind: "retrain" }],
    handler: () => Promise.resolve(),
    onExhausted: ({ error }) => Promise.reject(error),
    backoffMs: 20,
    ...options,
  });
  open.push(consumption);
  return consumption;
}

export const queue = (searchId: string, resumption = 0) =>
  publishWork(bus, { searchId, kind: "retrain", data: RetrainWork.fromPartial({ resumption }), ordinal: resumption });
