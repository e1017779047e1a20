import type { Bus } from "../../shared/events/bus";
import { historyOnce } from "../../shared/events/history";
import { purgeSubjects } from "../../shared/events/jetstream";
import type { Announcement } from "../../shared/events/presence";
import { publishEvent } from "../../shared/events/publisher";
import { EVENTS_STREAM, recordSubject, searchFilter, SEARCHES_BUCKET } from "../../shared/events/subjects";
import { resolve } from "../../shared/spec/resolve";
import { startTestBus } from "../../shared/testing/bus";
import { announceDevice } from "../../shared/testing/devices";
import type { TestNats } from "../../shared/testing/nats";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { Projection } from "./projection";
import { Searches } from "./searches";
import { Sweep } from "./sweep";

const { converged } = workerEvents(resolve(tinySpec()).space);

let nats: TestNats;
let bus: Bus;
let presence: Announcement;
let projection: Projection;
beforeEach(async () => {
  ({ nats, bus } = await startTestBus());
  presence = await announceDevice(bus);
  projection = new Projection(bus, { latheVersion: "1", nodeVersion: "v22", platform: "linux x64", cpu: "a cpu" });
});
afterEach(async () => {
  await presence?.stop();
  await bus?.drain();
  await nats?.stop();
});

const start = async () => (await new Searches(bus, projection, 200).start({ spec: tinySpec(), requestId: "" })).id;
const issued = async (id: string) => (await projection.get(id)).issued;

describe("a sweep", () => {
  it("repairs the other records where one cannot be read, and fails the search of that one", async () => {
    const ids = [await start(), await start(), await start()];
    for (const id of ids) await publishEvent(bus, id, converged);
    const [first, unreadable, last] = ids as [string, string, string];
    await bus.connection.request(recordSubject(SEARCHES_BUCKET, unreadable), "no record");
    await new Sweep(bus, projection).run();
    expect([await issued(first), await issued(last)]).toEqual(["derive:0", "derive:0"]);
    const history = await historyOnce(bus, unreadable);
    expect(history.at(-1)?.event).toMatchObject({ type: "search.failed", data: { reason: "RECORD_MALFORMED" } });
  });

  it("fails an open search whose first event NATS has lost, and no other", async () => {
    const [lost, whole] = [await start(), await start()];
    await purgeSubjects(bus, EVENTS_STREAM, searchFilter(lost));
    await new Sweep(bus, projection).run();
    expect((await historyOnce(bus, lost)).map(({ event }) => event)).toMatchObject([
      { type: "search.failed", data: { reason: "EVENTS_LOST", message: expect.stringContaining(lost) as string } },
    ]);
    expect((await historyOnce(bus, whole)).at(-1)?.event.type).toBe("search.created");
  });

  it("repairs every open search at each second run, for another process may have dropped an event", async () => {
    const sweep = new Sweep(bus, projection);
    await sweep.run();
    const id = await start();
    await publishEvent(bus, id, converged);
    const runs: string[] = [];
    for (let run = 1; run <= 2; run++) {
      await sweep.run();
      runs.push(await issued(id));
    }
    expect(runs).toEqual(["", "derive:0"]);
  });
});
