import { connect, type Bus } from "../../shared/events/bus";
import { provision } from "../../shared/events/streams";
import { quiet } from "../../shared/testing/bus";
import { startNats, type TestNats } from "../../shared/testing/nats";
import { Fragments } from "./fragments";

const DAY = 24 * 3600 * 1000;
const timing = (ratio: number, calibration = 2e-3) => ({ ratio, calibration });
const sha = (digit: string) => digit.repeat(64);

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "latency", logger: quiet });
  await provision(bus);
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

describe("fragments", () => {
  it("hold the least disturbed of all measurements, for every worker and for their own device only", async () => {
    const [one, another] = [new Fragments(bus), new Fragments(bus)];
    const key = `${sha("a")}.20.${sha("1")}`;
    expect(await one.known([key])).toEqual([undefined]);
    expect(await one.keep(key, timing(1.5, 3e-3))).toMatchObject({ ratio: 1.5, rounds: 1 });
    expect(await another.keep(key, timing(1.75, 2e-3))).toMatchObject({ ratio: 1.75, rounds: 2 });
    expect(await one.keep(key, timing(1, 4e-3))).toMatchObject({ ratio: 1.75, rounds: 3 });
    const foreign = `${sha("b")}.20.${sha("1")}`;
    expect(await another.known([foreign, key])).toMatchObject([
      undefined,
      { ratio: 1.75, calibration: 2e-3, rounds: 3 },
    ]);
  });

  it("are measured anew after 30 days", async () => {
    let now = 1e12;
    const fragments = new Fragments(bus, { now: () => now });
    const key = `${sha("c")}.20.${sha("2")}`;
    await fragments.keep(key, timing(1));
    now += 30 * DAY;
    expect(await fragments.keep(key, timing(1.1))).toMatchObject({ ratio: Math.sqrt(1.1), rounds: 2 });
    now += 1;
    expect(await fragments.known([key])).toEqual([undefined]);
    expect(await fragments.keep(key, timing(1.3))).toMatchObject({ ratio: 1.3, rounds: 1 });
  });

  it("give way where there are too many, those of the oldest measurement first, and nothing else does", async () => {
    const keys = Array.from({ length: 5 }, (_, i) => `${sha("d")}.20.${sha(String(i))}`);
    const fragments = new Fragments(bus, { most: 3 });
    for (const key of keys) await fragments.keep(key, timing(1));
    await fragments.keep(keys[0]!, timing(2));
    await fragments.prune();
    const kept = (await fragments.known(keys)).map((known) => known !== undefined);
    expect(kept).toEqual([true, false, false, true, true]);
    await fragments.prune();
    expect((await fragments.known(keys)).filter(Boolean)).toHaveLength(3);
  });
});
