import { startTestBus } from "../testing/bus";
import { uniqueSearchId, type TestNats } from "../testing/nats";
import { Attempts } from "./attempts";
import type { Bus } from "./bus";
import { Records } from "./records";
import { HANDBACKS_BUCKET } from "./subjects";

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

const never = new AbortController().signal;
const raw = () => new Records<unknown>(bus, HANDBACKS_BUCKET, { toJSON: (json) => json, fromJSON: (json) => json });
const begin = (attempts: Attempts, id: string, attempt: string, made = 0, deliveries = 1) => {
  const progressSince = (before: number) => Promise.resolve(made > before ? made : undefined);
  return attempts.begin({ id, deliveries, progressSince }, attempt, never);
};
const count = async (...given: Parameters<typeof begin>) => (await begin(...given))?.attempts;

describe("the attempts of a work item", () => {
  const attempts = () => new Attempts(bus, 3, 1);

  it("count until they are taken back, each on its own, or followed by progress", async () => {
    const [one, id] = [attempts(), `${uniqueSearchId()}:train:0`];
    expect(await count(one, id, "a")).toBe(1);
    expect(await count(one, id, "a")).toBe(1);
    expect(await count(one, id, "b")).toBe(2);
    for (let time = 1; time <= 2; time++) expect(await one.takeBack(id, "a")).toBe(true);
    expect(await count(one, id, "c")).toBe(2);
    expect(await count(one, id, "d", 5)).toBe(1);
    // It had begun before the progress, so it does not count any more.
    await one.takeBack(id, "c");
    expect(await count(one, id, "e", 5)).toBe(2);
    expect((await begin(one, id, "f", 5))?.waits).toBe(0);
    await one.takeBack(id, "f", 1);
    expect(await begin(one, id, "g", 5)).toEqual({ attempts: 3, waits: 1, progress: 5 });
    expect(await begin(one, id, "h", 6)).toEqual({ attempts: 1, waits: 0, progress: 6 });
    await one.forget(id);
    await one.takeBack(id, "h");
    expect(await raw().keys()).toEqual([]);
  });

  it("are told apart up to one more than the last that may begin", async () => {
    const [one, id] = [attempts(), `${uniqueSearchId()}:train:0`];
    const counts: unknown[] = [];
    for (const attempt of ["a", "b", "c", "d", "e", "f"]) counts.push(await count(one, id, attempt));
    expect(counts).toEqual([1, 2, 3, 4, 4, 4]);
  });

  it.each([
    ["begin anew where an earlier version has noted what it did not charge", { uncharged: 2, progress: 0 }, 1],
    ["are as many as the deliveries where their record has been altered", { begun: 7, progress: 0 }, 5],
  ])("%s", async (_name, record, expected) => {
    const id = `${uniqueSearchId()}:train:0`;
    await raw().create(id.replaceAll(":", "/"), record);
    const few = new Attempts(bus, 10, 1);
    expect(await count(few, id, "a", 0, 5)).toBe(expected);
    expect(await count(few, id, "b", 0, 6)).toBe(expected + 1);
  });
});
