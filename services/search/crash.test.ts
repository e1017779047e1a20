import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { historyOnce } from "../../shared/events/history";
import { listSubjects } from "../../shared/events/jetstream";
import type { Announcement } from "../../shared/events/presence";
import { publishEvent } from "../../shared/events/publisher";
import { WORK_STREAM } from "../../shared/events/subjects";
import { resolve } from "../../shared/spec/resolve";
import { startTestBus } from "../../shared/testing/bus";
import { announceDevice } from "../../shared/testing/devices";
import type { TestNats } from "../../shared/testing/nats";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { Projection } from "./projection";
import { Searches } from "./searches";

const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
const died = new Error("the process died here");

let nats: TestNats;
let bus: Bus;
let presence: Announcement;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
  presence = await announceDevice(bus);
});
afterAll(async () => {
  await presence?.stop();
  await bus?.drain();
  await nats?.stop();
});

/** A bus on which the process dies at its request number `at`: before it is sent, or with the answer on its way. */
function dyingBus(at: number, afterwards: boolean): Bus {
  let count = 0;
  const dying = Object.create(bus) as Bus;
  dying.request = async (...request) => {
    const now = ++count;
    if (now > at || (now === at && !afterwards)) throw died;
    const answer = await bus.request(...request);
    if (now === at) throw died;
    return answer;
  };
  return dying;
}

/** Runs `step` with a process that dies at every request in turn, until one lives through it; returns how many died. */
async function dieEverywhere(step: (bus: Bus, projection: Projection) => Promise<unknown>): Promise<number> {
  for (let at = 1; ; at++) {
    let lived = true;
    for (const afterwards of [false, true]) {
      const dying = dyingBus(at, afterwards);
      await step(dying, new Projection(dying, host)).catch((error: unknown) => {
        if (!String(error).includes(died.message)) throw error;
        lived = false;
      });
    }
    if (lived) return at - 1;
  }
}

const workItems = async () => [...(await listSubjects(bus, WORK_STREAM, "lathe.work.>")).values()];

describe("a process that dies at any step", () => {
  it("has started one search when the request is repeated", async () => {
    const request = { spec: tinySpec(), requestId: "req-crash" };
    const ids = new Set<string>();
    const deaths = await dieEverywhere(async (dying, projection) =>
      ids.add((await new Searches(dying, projection, 200).start(request)).id),
    );
    const living = new Searches(bus, new Projection(bus, host), 200);
    ids.add((await living.start(request)).id);
    // Each death leaves more done, so that the next process needs fewer requests.
    expect(deaths).toBeGreaterThan(2);
    expect(ids.size).toBe(1);
    expect((await historyOnce(bus, [...ids][0]!)).map(({ event }) => event.type)).toEqual(["search.created"]);
    const { searches } = await living.list({ pageSize: 0, pageToken: "", states: [], labels: {} });
    expect(searches.map(({ id }) => id)).toEqual([...ids]);
  });

  it("has taken in an event and queued its work once when the event is delivered again", async () => {
    const projection = new Projection(bus, host);
    const { id } = await new Searches(bus, projection, 200).start({ spec: tinySpec(), requestId: "" });
    const { space } = resolve(tinySpec());
    const made = workerEvents(space);
    const events: LatheEvent[] = [made.epoch(1), made.converged, made.derived, made.trained, made.profiled];
    const before = (await workItems()).reduce((sum, count) => sum + count, 0);
    for (const event of events) await publishEvent(bus, id, event);
    for (const stored of await historyOnce(bus, id))
      expect(await dieEverywhere((_dying, projection) => projection.take(stored))).toBeGreaterThan(0);
    // train, derive, retrain, profile; and the end.
    expect((await workItems()).reduce((sum, count) => sum + count, 0)).toBe(before + 4);
    expect((await historyOnce(bus, id)).map(({ event }) => event.type)).toEqual([
      "search.created",
      ...events.map(({ type }) => type),
      "search.succeeded",
    ]);
    expect(await projection.get(id)).toMatchObject({ issued: "succeeded", search: { retrainingEpoch: 0 } });
  });
});
