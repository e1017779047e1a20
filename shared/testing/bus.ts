import { connect, type Bus } from "../events/bus";
import { provision } from "../events/streams";
import { startNats, type TestNats } from "./nats";

export const quiet = { info() {}, warn() {}, error() {} };

/** A private nats-server with the streams of Lathe, and a bus to it; drain the one and stop the other. */
export async function startTestBus(): Promise<{ nats: TestNats; bus: Bus }> {
  const nats = await startNats();
  const bus = await connect({ url: nats.url, name: "test", logger: quiet });
  await provision(bus);
  return { nats, bus };
}
