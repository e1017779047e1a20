import { setTimeout as sleep } from "node:timers/promises";
import type { Bus } from "../../shared/events/bus";
import { Records } from "../../shared/events/records";
import { LISTING_BUCKET, SEARCHES_BUCKET } from "../../shared/events/subjects";
import { SearchState } from "../../shared/proto/lathe/v1/search";
import { resolve } from "../../shared/spec/resolve";
import { tinySpec } from "../../shared/testing/searches";
import { placeCodec } from "./list";
import { newRecord, recordCodec } from "./record";
import { Projection } from "./projection";
import { Searches } from "./searches";
import { Sweep } from "./sweep";
import { host, bus, projection, api, failure, begin } from "./service.fixture";

describe("ListSearches", () => {
  const list = async (request: Partial<Parameters<typeof api.listSearches>[0]>) =>
    api.listSearches({ pageSize: 0, pageToken: "", states: [], labels: {}, ...request });

  it("returns pages, newest first, that a new search does not shift", async () => {
    const labels = { list: "pages" };
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      ids.unshift((await begin({ labels, seed: n })).id);
      await sleep(2);
    }
    await begin();
    const first = await list({ pageSize: 2, labels });
    await begin({ labels });
    const second = await list({ pageSize: 2, labels, pageToken: first.nextPageToken });
    const third = await list({ pageSize: 2, labels, pageToken: second.nextPageToken });
    expect([first, second, third].map(({ searches: found }) => found.map(({ id }) => id))).toEqual([
      ids.slice(0, 2),
      ids.slice(2, 4),
      ids.slice(4),
    ]);
    expect(third.nextPageToken).toBe("");
    expect(await failure(list({ pageToken: first.nextPageToken }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "page_token" }],
    });
    expect(
      (await failure(list({ pageToken: "{}", states: [SearchState.SEARCH_STATE_UNSPECIFIED] }))).violations,
    ).toEqual(["states[0]", "page_token"].map((field) => expect.objectContaining({ field }) as unknown));
  });

  it("filters by state", async () => {
    const labels = { list: "states" };
    const [kept, ended] = [await begin({ labels }), await begin({ labels })];
    await api.cancelSearch({ searchId: ended.id, reason: "" });
    const found = await list({ labels, states: [SearchState.SEARCH_STATE_CANCELLED] });
    expect(found.searches.map(({ id }) => id)).toEqual([ended.id]);
    expect((await list({ labels })).searches.map(({ id }) => id)).toEqual([ended.id, kept.id]);
  });

  it("has every search on one of its pages, also where a process died before it had listed it", async () => {
    const labels = { list: "many" };
    const { spec, space: own } = resolve(tinySpec({ labels }));
    const ids = Array.from({ length: 230 }, (_, n) => `s-listed-${String(n).padStart(3, "0")}`);
    const records = new Records(bus, SEARCHES_BUCKET, recordCodec);
    // Ended searches, for which no process has anything to do.
    await Promise.all(
      ids.map((id, n) => {
        const record = newRecord(id, { spec, space: own, specSha256: "0" }, new Date(1e12 + n));
        record.search = { ...record.search, state: SearchState.SEARCH_STATE_SUCCEEDED, lastSequence: 1 };
        return records.create(id, record);
      }),
    );
    await new Sweep(bus, projection).run();
    const seen: string[][] = [];
    for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
      const page = await list({ labels, pageSize: 100, pageToken });
      seen.push(page.searches.map(({ id }) => id));
      pageToken = page.nextPageToken;
    }
    expect(seen.map(({ length }) => length)).toEqual([100, 100, 30]);
    expect(seen.flat()).toEqual([...ids].reverse());
  });

  it("reads only the records of its page", async () => {
    const labels = { list: "reads" };
    for (let n = 0; n < 4; n++) await begin({ labels });
    const asked: string[] = [];
    const listening = Object.create(bus) as Bus;
    listening.request = (subject, payload, options) => {
      asked.push(subject);
      return bus.request(subject, payload, options);
    };
    const other = new Searches(listening, new Projection(listening, host), 1_000);
    const request = { pageSize: 2, pageToken: "", states: [], labels };
    expect((await other.list(request)).searches).toHaveLength(2);
    expect(asked.filter((subject) => subject.endsWith("MSG.GET.KV_SEARCHES"))).toHaveLength(2);
  });

  it("is repaired where a place is older than its record, or the record does not exist", async () => {
    const labels = { list: "mended" };
    const ended = await begin({ labels });
    await api.cancelSearch({ searchId: ended.id, reason: "" });
    const places = new Records(bus, LISTING_BUCKET, placeCodec);
    await places.mutate(ended.id, (place) => ({ ...place!, state: SearchState.SEARCH_STATE_RUNNING, revision: 0 }));
    await places.create("s-nowhere", { createdAt: 0, state: SearchState.SEARCH_STATE_FAILED, labels, revision: 1 });
    // A search is never listed under a state that it has left.
    expect((await list({ labels, states: [SearchState.SEARCH_STATE_RUNNING] })).searches).toEqual([]);
    // Every process sweeps when it starts.
    await new Sweep(bus, projection).run();
    const cancelled = await list({ labels, states: [SearchState.SEARCH_STATE_CANCELLED] });
    expect(cancelled.searches.map(({ id }) => id)).toEqual([ended.id]);
    expect(await places.get("s-nowhere")).toBeUndefined();
  });
});
