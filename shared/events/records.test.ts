import { Search, SearchState } from "../proto/lathe/v1/search";
import { startTestBus } from "../testing/bus";
import { uniqueSearchId, type TestNats } from "../testing/nats";
import type { Bus } from "./bus";
import { store } from "./jetstream";
import { Records } from "./records";
import { SEARCHES_BUCKET, recordSubject } from "./subjects";

const search = (id: string, fields: Partial<Search> = {}) => ({ ...Search.fromPartial({ id }), ...fields });

let nats: TestNats;
let bus: Bus;
let records: Records<Search>;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
beforeEach(() => void (records = new Records(bus, SEARCHES_BUCKET, Search)));
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

describe("Records", () => {
  it("creates, reads, updates and deletes", async () => {
    const id = uniqueSearchId();
    expect(await records.get(id)).toBeUndefined();
    const created = search(id, { state: SearchState.SEARCH_STATE_PENDING, createdAt: new Date(1e12), lastSequence: 7 });
    const revision = await records.create(id, created);
    expect(await records.get(id)).toEqual({ key: id, value: created, revision });
    const later = await records.update(id, { ...created, lastSequence: 8 }, revision);
    expect(later).toBeGreaterThan(revision);
    expect((await records.get(id))?.value.lastSequence).toBe(8);
    await records.delete(id);
    await records.delete(id);
    expect(await records.get(id)).toBeUndefined();
    await records.create(id, created);
  });

  it("tells a taken key from a stale revision", async () => {
    const id = uniqueSearchId();
    const revision = await records.create(id, search(id));
    await expect(records.create(id, search(id))).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
      message: `record SEARCHES/${id} exists`,
    });
    await records.update(id, search(id), revision);
    await expect(records.update(id, search(id), revision)).rejects.toMatchObject({
      code: "ABORTED",
      reason: "STALE_REVISION",
    });
  });

  it("recognises its own write when the answer was lost", async () => {
    const id = uniqueSearchId();
    const write = () =>
      store(bus, recordSubject(SEARCHES_BUCKET, id), Buffer.from("{}"), {
        what: "record",
        msgId: id,
        expectedSequence: 0,
      });
    const first = await write();
    expect(await write()).toEqual({ sequence: first.sequence, duplicate: true });
  });

  it("loses no change of many at once", async () => {
    const id = uniqueSearchId();
    const add = () =>
      records.mutate(id, (current) => ({ ...(current ?? search(id)), resumptions: (current?.resumptions ?? 0) + 1 }));
    await Promise.all(Array.from({ length: 30 }, add));
    expect((await records.get(id))?.value.resumptions).toBe(30);
    const before = await records.get(id);
    expect(await records.mutate(id, () => undefined)).toEqual(before);
  });

  it("reads many by their keys, in that order, and leaves out what is not there", async () => {
    const ids = Array.from({ length: 70 }, uniqueSearchId);
    await Promise.all(ids.map((id) => records.create(id, search(id))));
    const asked = [...ids.slice(0, 30), uniqueSearchId(), ...ids.slice(30)].reverse();
    expect((await records.getAll(asked)).map(({ key }) => key)).toEqual([...ids].reverse());
    expect(await records.getAll([])).toEqual([]);
    const each: string[] = [];
    for await (const { key } of records.eachOf(asked)) each.push(key);
    expect(each).toEqual([...ids].reverse());
  });

  it("lists the newest first, and follows creations, changes and deletions", async () => {
    const ids = Array.from({ length: 5 }, uniqueSearchId);
    for (const id of ids) await records.create(id, search(id));
    const mine = async () => (await records.list()).map((entry) => entry.key).filter((key) => ids.includes(key));
    expect(await mine()).toEqual([...ids].reverse());
    await records.mutate(ids[1]!, (current) => ({ ...current!, resumptions: 1 }));
    await records.delete(ids[4]!);
    const other = new Records(bus, SEARCHES_BUCKET, Search);
    await other.delete(ids[3]!);
    expect(await mine()).toEqual([ids[1], ids[2], ids[0]]);
    expect((await records.list()).find((entry) => entry.key === ids[1])?.value.resumptions).toBe(1);
    expect((await other.keys()).filter((key) => ids.includes(key))).toHaveLength(3);
    await records.create(ids[4]!, search(ids[4]!));
    expect((await mine())[0]).toBe(ids[4]);
  });

  it("tells what has changed since a revision, each record once, as it is now", async () => {
    const [one, two, three] = [uniqueSearchId(), uniqueSearchId(), uniqueSearchId()];
    await records.create(one, search(one));
    const since = await records.newest();
    await records.create(two, search(two));
    await records.create(three, search(three));
    await records.mutate(two, (known) => ({ ...known!, resumptions: 4 }));
    const seen: [string, number][] = [];
    for await (const { key, value } of records.changes(since)) seen.push([key, value.resumptions]);
    expect(seen).toEqual([
      [three, 0],
      [two, 4],
    ]);
    for await (const { key } of records.changes(await records.newest())) throw new Error(`${key} has not changed`);
  });

  it("refuses a key that NATS would not take, and a value larger than a message", async () => {
    for (const key of ["", "a b", "a:b", "a*", ".a", "a.", "a..b", "ä"]) {
      await expect(records.get(key)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    const id = uniqueSearchId();
    await expect(records.create(id, search(id, { requestId: "x".repeat(1.1e6) }))).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringMatching(
        new RegExp(`^record SEARCHES/${id} is 11\\d{5} bytes, must be at most 104\\d{4}$`),
      ) as string,
    });
  });
});
