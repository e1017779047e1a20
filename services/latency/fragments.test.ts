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
  it("hold the newest five measurements, of every worker, for their own device only", async () => {
    const [one, another] = [new Fragments(bus), new Fragments(bus)];
    const key = `${sha("a")}.20.${sha("1")}`;
    expect(await one.known([key])).toEqual([undefined]);
    const rounds = [1.5, 1.75, 1, 2, 3, 4].map((ratio) => timing(ratio));
    for (const [i, round] of rounds.entries())
      expect(await (i % 2 === 0 ? one : another).keep(key, round)).toMatchObject({
        rounds: rounds.slice(Math.max(0, i - 4), i + 1),
      });
    const foreign = `${sha("b")}.20.${sha("1")}`;
    expect(await another.known([foreign, key])).toMatchObject([undefined, { rounds: rounds.slice(1) }]);
  });

  it("are measured anew after 30 days", async () => {
    let now = 1e12;
    const fragments = new Fragments(bus, { now: () => now });
    const key = `${sha("c")}.20.${sha("2")}`;
    await fragments.keep(key, timing(1));
    now += 30 * DAY;
    expect(await fragments.keep(key, timing(1.1))).toMatchObject({ rounds: [timing(1), timing(1.1)] });
    now += 1;
    expect(await fragments.known([key])).toEqual([undefined]);
    expect(await fragments.keep(key, timing(1.3))).toMatchObject({ rounds: [timing(1.3)] });
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
