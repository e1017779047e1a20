import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from "node:net";
import { DeriveWork, ProfileWork } from "../proto/lathe/v1/events";
import { queuedWork, quiet, workIsDone } from "../testing/bus";
import { uniqueSearchId } from "../testing/nats";
import { until } from "../testing/until";
import { connect } from "./bus";
import { deadLetters } from "./deadLetters";
import { ensureDurable } from "./pull";
import { api } from "./jetstream";
import { publishWork } from "./publisher";
import { WORK_STREAM, workDurable, workSubject, type WorkKind } from "./subjects";
import { takeWork } from "./work";
import { nats, bus, open, queue } from "./work.fixture";

describe("the queues of work", () => {
  it("replaces a consumer that an earlier version has made with another filter", async () => {
    const old = {
      stream: WORK_STREAM,
      durable: "work-derive",
      filter: "lathe.work.derive",
      ackWaitMs: 1000,
      maxAckPending: 1,
    };
    await ensureDurable(bus, old);
    const id = uniqueSearchId();
    await publishWork(bus, { searchId: id, kind: "derive", data: DeriveWork.fromPartial({}), ordinal: 0 });
    const taken: string[] = [];
    const consumption = await takeWork<"derive">(bus, {
      queues: [{ kind: "derive" }],
      handler: ({ searchId }) => Promise.resolve(void taken.push(searchId)),
      onExhausted: ({ error }) => Promise.reject(error),
    });
    open.push(consumption);
    await workIsDone(bus);
    expect(taken).toEqual([id]);
  });

  it.each([
    ["retrain", undefined],
    ["profile", "cpu"],
  ] as const)(
    "moves an item of %s that cannot be read to the dead letters of its search",
    async (kind, deviceClass) => {
      const searchId = uniqueSearchId();
      const subject = workSubject(searchId, kind, deviceClass);
      const { seq } = (await bus.connection.request(subject, "no envelope")).json<{ seq: number }>();
      const ended = { handler: () => Promise.resolve(), onExhausted: () => Promise.resolve() };
      open.push(await takeWork(bus, { queues: [{ kind, ...(deviceClass && { deviceClass }) }], ...ended }));
      await workIsDone(bus);
      const letter = (await deadLetters(bus, 0, 100)).find(({ messageSequence }) => messageSequence === seq);
      const consumer = workDurable(kind, deviceClass);
      expect(letter).toMatchObject({ stream: "WORK", subject, searchId, consumer, reason: "ENVELOPE_MALFORMED" });
      expect(Buffer.from(letter!.data).toString()).toBe("no envelope");
    },
  );

  it("keeps the device classes of the profile queue apart", async () => {
    const seen: string[] = [];
    // The item of the other class lies between two that are taken, so it has been passed over.
    const data = ProfileWork.fromPartial({});
    for (const deviceClass of ["gpu", "cpu", "gpu"])
      await publishWork(bus, { searchId: uniqueSearchId(), kind: "profile", data, ordinal: "network", deviceClass });
    open.push(
      await takeWork(bus, {
        queues: [{ kind: "profile", deviceClass: "gpu" }],
        handler: ({ id }) => Promise.resolve(void seen.push(id)),
        onExhausted: () => Promise.resolve(),
      }),
    );
    await until(async () => (await queuedWork(bus)) === 1);
    expect(seen).toHaveLength(2);
  });
});
/** Passes one connection on to NATS. What NATS sends is held between hold() and release(). */
async function relayTo(url: string) {
  let nats: Socket | undefined;
  const server = createServer((client) => {
    nats = connectTcp(Number(new URL(url).port), "127.0.0.1");
    nats.on("data", (data) => client.write(data)).on("close", () => client.destroy());
    client.pipe(nats);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: () => nats?.pause(),
    release: () => nats?.resume(),
    close: () => server.close(),
  };
}
describe("a worker of two queues", () => {
  const queues = [{ kind: "derive" }, { kind: "retrain" }] as const;
  const derive = (searchId: string) =>
    publishWork(bus, { searchId, kind: "derive", data: DeriveWork.fromPartial({}), ordinal: 0 });
  const info = (kind: WorkKind) => {
    const name = workDurable(kind);
    return api(bus, { what: name }, ({ consumers }) => consumers.info(WORK_STREAM, name));
  };
  /** Items that a worker has, and those that were given back and not yet pulled again. */
  const delivered = async (kind: WorkKind) => (await info(kind)).num_ack_pending;
  /** Holds each item until it is released. */
  async function holding(on = bus) {
    const seen: string[] = [];
    const releases: (() => void)[] = [];
    open.push(
      await takeWork(on, {
        queues,
        handler: ({ kind }, { deliveries }) =>
          new Promise<void>((resolve) => {
            seen.push(`${kind} ${deliveries}`);
            releases.push(resolve);
          }),
        onExhausted: ({ error }) => Promise.reject(error),
      }),
    );
    return { seen, releases };
  }

  it("leaves the items of both queues to others while it has one in hand, and serves the queues in turn", async () => {
    for (let n = 0; n < 2; n++) {
      await derive(uniqueSearchId());
      await queue(uniqueSearchId());
    }
    const { seen, releases } = await holding();
    for (let taken = 1; taken <= 4; taken++) {
      await until(() => seen.length === taken);
      expect((await delivered("derive")) + (await delivered("retrain"))).toBe(1);
      releases[taken - 1]!();
    }
    await workIsDone(bus);
    expect(seen).toEqual(["derive 1", "retrain 1", "derive 1", "retrain 1"]);
  });

  it("takes one of two items that arrive at once, and gives the other to a worker that is free, without a charge", async () => {
    const relay = await relayTo(nats.url);
    const far = await connect({ url: relay.url, name: "far", logger: quiet });
    for (let round = 0; round < 3; round++) {
      const first = await holding(far);
      await until(async () => (await info("derive")).num_waiting + (await info("retrain")).num_waiting === 2);
      relay.hold();
      await Promise.all([derive(uniqueSearchId()), queue(uniqueSearchId())]);
      // Each pull has its item, or has expired.
      await until(async () => (await info("derive")).num_waiting + (await info("retrain")).num_waiting === 0);
      relay.release();
      await until(() => first.seen.length === 1);
      const second = await holding(bus);
      await until(() => second.seen.length === 1);
      expect([...first.seen, ...second.seen].sort()).toEqual(["derive 1", "retrain 1"]);
      first.releases[0]!();
      second.releases[0]!();
      await workIsDone(bus);
      await Promise.all(open.splice(0).map((consumption) => consumption.stop()));
    }
    await far.drain();
    relay.close();
  });
});
