import { createHash, randomBytes } from "node:crypto";
import { EpochCompleted } from "../proto/lathe/v1/events";
import { quiet, startTestBus } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { connect, type Bus } from "./bus";
import { historyOnce } from "./history";
import { api, listSubjects, readMessage, store } from "./jetstream";
import { Objects } from "./objects";
import { publishEvent } from "./publisher";
import { purgeSearch } from "./purge";
import { provision } from "./streams";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET, chunkSubject, manifestSubject, objectStream } from "./subjects";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const options = { kind: "checkpoint", mediaType: "application/octet-stream" };

let nats: TestNats;
let bus: Bus;
let objects: Objects;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
  objects = new Objects(bus, CHECKPOINTS_BUCKET);
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

/** The bus, with `act` called just before its n-th request that stores or reads a chunk. */
function atChunk(on: Bus, n: number, act: () => unknown): Bus {
  const acting = Object.create(on) as Bus;
  let chunks = 0;
  acting.request = (subject, payload, options) => {
    if (/^\$O\..*\.C\.|DIRECT\.GET/.test(subject) && ++chunks === n) act();
    return on.request(subject, payload, options);
  };
  return acting;
}

const chunksOf = async (id: string) =>
  (await listSubjects(bus, objectStream(CHECKPOINTS_BUCKET), chunkSubject(CHECKPOINTS_BUCKET, `${id}.>`))).size;

describe("Objects", () => {
  it.each([0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_001])("stores %i bytes and reads the same bytes", async (size) => {
    const id = uniqueSearchId();
    const bytes = randomBytes(size);
    const ref = await objects.put(`${id}/epoch-1`, bytes, options);
    expect(ref).toEqual({
      ...options,
      object: expect.stringMatching(`^${id}/[0-9a-f]{12}/epoch-1$`) as string,
      sizeBytes: size,
      sha256: sha256(bytes),
    });
    expect(sha256(await objects.get(ref))).toBe(ref.sha256);
    const pieces: Uint8Array[] = [];
    for await (const piece of objects.chunks(ref)) pieces.push(piece);
    expect(pieces).toHaveLength(Math.ceil(size / (256 * 1024)));
    expect(sha256(Buffer.concat(pieces))).toBe(ref.sha256);
    expect(await objects.has(ref.object)).toBe(true);
  });

  it("is read by the client's own object store", async () => {
    const bytes = randomBytes(700_000);
    const ref = await objects.put(`${uniqueSearchId()}/epoch-1`, bytes, options);
    const store = await bus.connection.jetstream().views.os(CHECKPOINTS_BUCKET);
    expect(sha256((await store.getBlob(ref.object))!)).toBe(sha256(bytes));
  });

  it("stores two objects when the same name is put twice", async () => {
    const id = uniqueSearchId();
    const [one, two] = [
      await objects.put(`${id}/a`, randomBytes(9), options),
      await objects.put(`${id}/a`, randomBytes(9), options),
    ];
    expect(one.object).not.toBe(two.object);
    expect((await objects.list(`${id}/`)).sort()).toEqual([one.object, two.object].sort());
  });

  it("reports NOT_FOUND before an object is put and after its deletion", async () => {
    const id = uniqueSearchId();
    const absent = { code: "NOT_FOUND", message: `object CHECKPOINTS/${id}/none does not exist` };
    const none = { object: `${id}/none`, sizeBytes: 9, sha256: "" };
    await expect(objects.get(none)).rejects.toMatchObject(absent);
    await expect(objects.chunks(none).next()).rejects.toMatchObject(absent);
    const ref = await objects.put(`${id}/a`, randomBytes(300_000), options);
    await objects.delete(ref.object);
    await objects.delete(ref.object);
    expect(await objects.has(ref.object)).toBe(false);
    expect(await chunksOf(id)).toBe(0);
    await expect(objects.put("no-owner", randomBytes(9), options)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  interface StoredManifest {
    name: string;
    size: number;
    sequences: number[];
    metadata: { sha256: string };
  }

  it("detects a missing chunk, swapped chunks and an altered manifest, and names the object", async () => {
    const id = uniqueSearchId();
    const stream = objectStream(CHECKPOINTS_BUCKET);
    const manifestOf = async (object: string) => {
      const query = { last_by_subj: manifestSubject(CHECKPOINTS_BUCKET, object) };
      const message = await readMessage(bus, stream, query, { what: "manifest" });
      return JSON.parse(Buffer.from(message!.data).toString()) as StoredManifest;
    };
    const damage = async (change: (manifest: StoredManifest) => unknown) => {
      const ref = await objects.put(`${id}/a`, randomBytes(700_000), options);
      const { object } = ref;
      const subject = manifestSubject(CHECKPOINTS_BUCKET, object);
      const manifest = await manifestOf(object);
      const written = (await change(manifest)) === "emptied" ? "{}" : JSON.stringify(manifest);
      await store(bus, subject, Buffer.from(written), { what: "manifest", msgId: `${object}:damaged` });
      return objects.get(ref).catch((error: unknown) => error);
    };
    const missing = await damage(async ({ sequences }) => {
      await api(bus, { what: "delete" }, ({ streams }) => streams.deleteMessage(stream, sequences[1]!));
    });
    const corrupt = (what: string) => ({
      code: "INTERNAL",
      reason: "OBJECT_CORRUPT",
      message: expect.stringMatching(`^object CHECKPOINTS/${id}/.* is corrupt: ${what}`) as string,
    });
    expect(missing).toMatchObject(corrupt("chunk 2 of 3 is missing"));
    expect(await damage(({ sequences }) => void sequences.splice(0, 2, sequences[1]!, sequences[0]!))).toMatchObject(
      corrupt("sha256 is"),
    );
    // Another object's manifest and chunks are whole in themselves. Only the reference tells that they are not these.
    const other = await objects.put(`${id}/other`, randomBytes(700_000), options);
    const foreign = async (manifest: StoredManifest) => Object.assign(manifest, await manifestOf(other.object));
    expect(await damage(foreign)).toMatchObject(corrupt(`its name is ${other.object}, must be ${id}/`));
    const renamed = async (manifest: StoredManifest) => {
      const { name } = manifest;
      Object.assign(manifest, await foreign(manifest), { name });
    };
    expect(await damage(renamed)).toMatchObject(corrupt(`its sha256 is ${other.sha256}, must be [0-9a-f]{64}$`));
    for (const size of [-1, 699_999, 700_001, 1e15])
      expect(await damage((manifest) => Object.assign(manifest, { size }))).toMatchObject(
        corrupt(`its size is ${size}, must be 700000`),
      );
    expect(await damage(({ sequences }) => sequences.push(1))).toMatchObject(
      corrupt("its number of chunks is 4, must be 3"),
    );
    expect(await damage(() => "emptied")).toMatchObject(corrupt("its manifest cannot be read"));
  });

  it("removes the chunks of a cancelled put, those on their way too", async () => {
    const id = uniqueSearchId();
    const bytes = randomBytes(8e6);
    for (let round = 0; round < 20; round++) {
      const stop = new AbortController();
      const cancelling = atChunk(bus, 8, () => stop.abort());
      const put = { ...options, signal: stop.signal };
      const putting = new Objects(cancelling, CHECKPOINTS_BUCKET).put(`${id}/a`, bytes, put);
      await expect(putting).rejects.toMatchObject({ code: "CANCELLED" });
    }
    expect(await objects.list(`${id}/`)).toEqual([]);
    expect(await chunksOf(id)).toBe(0);
  });

  it("reports full storage and removes the chunks that it had stored", async () => {
    const small = await startNats();
    const lone = await connect({ url: small.url, name: "test", logger: quiet });
    await provision(lone, { objectBytes: 1_000_000 });
    const full = new Objects(lone, ARTIFACTS_BUCKET);
    const id = uniqueSearchId();
    await expect(full.put(`${id}/a`, randomBytes(2_000_000), options)).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "STORAGE_FULL",
      message: expect.stringMatching(`^object ARTIFACTS/${id}/.*: NATS storage is full`) as string,
    });
    expect(lone.room.fault()).toMatch(/NATS storage is full/);
    const ref = await full.put(`${id}/b`, randomBytes(700_000), options);
    expect(lone.room.fault()).toBeUndefined();
    expect((await full.get(ref)).length).toBe(700_000);
    await lone.drain();
    await small.stop();
  });

  it("puts and gets an object across a crash of the server", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    const bytes = randomBytes(12e6);
    const crashes: Promise<void>[] = [];
    const crashing = () =>
      new Objects(
        atChunk(lone, 10, () => crashes.push(own.restart())),
        CHECKPOINTS_BUCKET,
      );
    const ref = await crashing().put(`${uniqueSearchId()}/a`, bytes, options);
    const read = await crashing().get(ref);
    expect(sha256(read)).toBe(sha256(bytes));
    expect(crashes).toHaveLength(2);
    await Promise.all(crashes);
    await lone.drain();
    await own.stop();
  });
});

describe("purgeSearch", () => {
  it("removes the events, objects and orphaned chunks of one search, and nothing of another", async () => {
    const [gone, stays] = [uniqueSearchId(), uniqueSearchId()];
    for (const id of [gone, stays]) {
      await publishEvent(bus, id, {
        type: "epoch.completed",
        data: EpochCompleted.fromPartial({ metrics: { epoch: 1 } }),
      });
      await objects.put(`${id}/a`, randomBytes(300_000), options);
      await store(bus, chunkSubject(CHECKPOINTS_BUCKET, `${id}.orphan`), randomBytes(9), {
        what: "orphan",
        msgId: `${id}-orphan`,
      });
    }
    await purgeSearch(bus, gone);
    await purgeSearch(bus, gone);
    const left = async (id: string) => [
      (await historyOnce(bus, id)).length,
      (await objects.list(`${id}/`)).length,
      await chunksOf(id),
    ];
    expect(await left(gone)).toEqual([0, 0, 0]);
    expect(await left(stays)).toEqual([1, 1, 2]);
  });
});
