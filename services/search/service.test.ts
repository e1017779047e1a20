import { historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { Records } from "../../shared/events/records";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET, REQUESTS_BUCKET, SEARCHES_BUCKET } from "../../shared/events/subjects";
import { SearchState, Search } from "../../shared/proto/lathe/v1/search";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { tinySpec } from "../../shared/testing/searches";
import { newRecord, recordCodec } from "./record";
import { Sweep } from "./sweep";
import { until } from "../../shared/testing/until";
import { space, made, bus, projection, trained, api, failure, begin, publish } from "./service.fixture";

describe("StartSearch", () => {
  it("stores the search with its completed spec, publishes it, and sends it to a trainer", async () => {
    const search = await begin({ labels: { team: "a" } });
    expect(search.id).toMatch(/^s-[a-z2-7]{12}$/);
    expect(search).toMatchObject({
      state: SearchState.SEARCH_STATE_PENDING,
      spec: { training: { epochs: resolve(tinySpec()).spec.training.epochs }, labels: { team: "a" } },
      space,
    });
    expect(search.lastSequence).toBeGreaterThan(0);
    expect((await api.getSearch({ searchId: search.id })).search).toMatchObject({ id: search.id });
    await until(() => trained.some(({ searchId }) => searchId === search.id));
    expect((await new Records(bus, SEARCHES_BUCKET, Search).get(search.id))?.value.spec).toEqual(search.spec);
  });

  it("starts one search per request id, however often and by however many clients it is called", async () => {
    const spec = { seed: 4 };
    const started = await Promise.all(Array.from({ length: 5 }, () => begin(spec, "req-1")));
    const [first] = started;
    expect(new Set(started.map(({ id }) => id)).size).toBe(1);
    expect((await begin(spec, "req-1")).id).toBe(first!.id);
    expect(await historyOnce(bus, first!.id)).toHaveLength(1);
    expect((await begin(spec)).id).not.toBe(first!.id);
    // A default value and the same value given explicitly are one spec.
    expect((await begin({ ...spec, training: { epochs: first!.spec!.training!.epochs } }, "req-1")).id).toBe(first!.id);
    const error = await failure(begin({ seed: 5 }, "req-1"));
    expect(error).toMatchObject({ code: "ALREADY_EXISTS", reason: "REQUEST_ID_REUSED" });
    expect(error.message).toContain(first!.id);
  });

  it("names every fault of a request and stores nothing", async () => {
    const before = (await api.listSearches({ pageSize: 200, pageToken: "", states: [], labels: {} })).searches.length;
    const error = await failure(
      begin({ preset: "huge", training: { epochs: 0, batchSize: -1 }, shrinking: { threshold: 2 } }, "no spaces"),
    );
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.violations.map(({ field }) => field)).toEqual(
      expect.arrayContaining(["request_id", "preset", "training.epochs", "training.batch_size", "shrinking.threshold"]),
    );
    expect((await failure(api.startSearch({ spec: undefined, requestId: "" }))).violations).toMatchObject([
      { field: "spec" },
    ]);
    const after = (await api.listSearches({ pageSize: 200, pageToken: "", states: [], labels: {} })).searches.length;
    expect(after).toBe(before);
  });

  it("is completed by a sweep where the process died after the record, and by the client's repetition where it died after the claim", async () => {
    const { spec, space: own } = resolve(tinySpec({ seed: 77 }));
    const record = newRecord("s-diedbehindit", { spec, space: own, specSha256: "0" }, new Date(), "");
    await new Records(bus, "SEARCHES", recordCodec).create("s-diedbehindit", record);
    await new Sweep(bus, projection).run();
    expect((await historyOnce(bus, "s-diedbehindit")).map(({ event }) => event.type)).toEqual(["search.created"]);
    await until(() => trained.some(({ searchId }) => searchId === "s-diedbehindit"));

    const claims = new Records<unknown>(bus, REQUESTS_BUCKET, { toJSON: (x) => x, fromJSON: (x) => x });
    await claims.create("req-cut", { searchId: "s-cutoffcutoff", specSha256: specDigest(spec) });
    expect((await begin({ seed: 77 }, "req-cut")).id).toBe("s-cutoffcutoff");
  });
});
describe("GetSearch", () => {
  it.each(["getSearch", "pauseSearch", "resumeSearch", "deleteSearch", "listArtifacts"] as const)(
    "%s refuses an id that cannot be, and one that is not",
    async (method) => {
      expect(await failure(api[method]({ searchId: "S 1" }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        violations: [{ field: "search_id" }],
      });
      expect(await failure(api[method]({ searchId: "" }))).toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await failure(api[method]({ searchId: "s-nowhere" }))).toMatchObject({
        code: "NOT_FOUND",
        reason: "SEARCH_NOT_FOUND",
      });
    },
  );
});
describe("artifacts", () => {
  it("of the search, and of no other, are listed and downloaded", async () => {
    const { id } = await begin();
    const bytes = Buffer.alloc(600_000, 7);
    const options = { kind: "derived.onnx", mediaType: "application/onnx" };
    const onnx = await new Objects(bus, ARTIFACTS_BUCKET).put(`${id}/derived.onnx`, bytes, options);
    const checkpoint = await new Objects(bus, CHECKPOINTS_BUCKET).put(`${id}/supernet`, Buffer.from("weights"), {
      ...options,
      kind: "checkpoint",
    });
    const foreign = await new Objects(bus, ARTIFACTS_BUCKET).put(`s-another/x`, bytes, options);
    await publish(
      id,
      { ...made.converged, data: { ...made.converged.data, checkpoint } },
      { ...made.derived, data: { ...made.derived.data, onnx } },
    );
    await until(async () => (await api.listArtifacts({ searchId: id })).artifacts.length === 3);
    const download = async (object: string) => {
      const chunks: Buffer[] = [];
      for await (const { chunk } of api.downloadArtifact({ searchId: id, object })) chunks.push(chunk);
      return chunks;
    };
    const chunks = await download(onnx.object);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    expect(Math.max(...chunks.map(({ length }) => length))).toBe(256 * 1024);
    expect(Buffer.concat(await download(checkpoint.object)).toString()).toBe("weights");
    expect(await failure(download(foreign.object))).toMatchObject({ code: "NOT_FOUND", reason: "ARTIFACT_NOT_FOUND" });
  });
});
