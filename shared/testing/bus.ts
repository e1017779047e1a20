import { connect, type Bus } from "../events/bus";
import { api } from "../events/jetstream";
import { provision } from "../events/streams";
import { WORK_STREAM } from "../events/subjects";
import { startNats, type TestNats } from "./nats";
import { until } from "./until";

export const quiet = { info() {}, warn() {}, error() {} };

/** Number of work items in all queues, including those in hand. */
export async function queuedWork(bus: Bus): Promise<number> {
  const { state } = await api(bus, { what: "queued work" }, ({ streams }) => streams.info(WORK_STREAM));
  return state.messages;
}

/** Resolves once every work item is done: acknowledged, or given up. */
export async function workIsDone(bus: Bus): Promise<void> {
  await until(async () => (await queuedWork(bus)) === 0);
}

/** A private nats-server with the streams of Lathe, and a bus to it. The test drains the bus and stops the server. */
export async function startTestBus(): Promise<{ nats: TestNats; bus: Bus }> {
  const nats = await startNats();
  const bus = await connect({ url: nats.url, name: "test", logger: quiet });
  await provision(bus);
  return { nats, bus };
}
