import { SpaceKept } from "../proto/lathe/v1/events";
import { quiet } from "../testing/bus";
import { startNats, uniqueSearchId } from "../testing/nats";
import { connect } from "./bus";
import type { LatheEvent } from "./catalog";
import { ensureDurable, pullOne } from "./pull";
import { publishEvent } from "./publisher";
import { purgeSearch } from "./purge";
import { provision } from "./streams";
import { ALL_EVENTS, EVENTS_STREAM, eventSubject } from "./subjects";

describe("purgeSearch", () => {
  it("takes no waiting event of another search from a consumer of all events", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    const [gone, stays] = [uniqueSearchId(), uniqueSearchId()];
    const kept = (epoch: number): LatheEvent => ({ type: "space.kept", data: SpaceKept.fromPartial({ epoch }) });
    const settings = {
      stream: EVENTS_STREAM,
      durable: "test-all",
      filter: ALL_EVENTS,
      ackWaitMs: 60_000,
      maxAckPending: 1,
    };
    await ensureDurable(lone, settings);
    const next = () => pullOne(lone, settings, new AbortController().signal, 1_000);
    for (const epoch of [1, 2, 3]) await publishEvent(lone, gone, kept(epoch));
    for (const _ of [1, 2]) await (await next())?.ack();
    for (const epoch of [1, 2, 3]) await publishEvent(lone, stays, kept(epoch));
    const inHand = await next();
    await purgeSearch(lone, gone);
    await inHand?.ack();
    const delivered: string[] = [];
    for (let event = await next(); event; event = await next()) {
      delivered.push(event.subject);
      await event.ack();
    }
    expect(delivered).toEqual(Array(3).fill(eventSubject(stays, "space.kept")));
    await lone.drain();
    await own.stop();
  });
});
