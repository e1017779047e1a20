import { createHash, randomBytes } from "node:crypto";
import { LatheError } from "../process/errors";
import type { ArtifactRef } from "../proto/lathe/v1/result";
import type { Bus } from "./bus";
import { listSubjects, NEVER, purgeSubjects, readDirect, readMessage, store, type StoredMessage } from "./jetstream";
import { chunkSubject, manifestSubject, objectStream, type ObjectBucket } from "./subjects";

/** The manifest of an object, in the format of a NATS object store, with the stream sequence of each chunk added. Reads go by `sequences`. */
interface Manifest {
  name: string;
  bucket: string;
  nuid: string;
  size: number;
  chunks: number;
  digest: string;
  mtime: string;
  deleted: false;
  options: { max_chunk_size: number };
  metadata: { kind: string; media_type: string; sha256: string };
  sequences: number[];
}

interface PutOptions {
  /** As ArtifactRef.kind. */
  kind: string;
  mediaType: string;
  signal?: AbortSignal;
}

/** 256 KB: hashing and copying one chunk takes under a millisecond, so the event loop stays responsive. */
const CHUNK_BYTES = 256 * 1024;
/** Chunks in flight. Without a limit, the client would queue a whole checkpoint, and chunks that wait longer than the timeout would fail. */
const PUT_WINDOW = 4;
const GET_WINDOW = 8;
const NAME = /^[a-z0-9][a-z0-9-]*\/[^\s*>]{1,300}$/;

/** The reference of an object in an event or record. The object must agree with it, and not only with its own manifest. */
type Recorded = Pick<ArtifactRef, "object" | "sizeBytes" | "sha256">;

/**
 * Checkpoints, models and pictures of one bucket: written in chunks, never overwritten, checked on each read against the size and digest
 * of their reference.
 */
export class Objects {
  private readonly stream: string;

  constructor(
    private readonly bus: Bus,
    private readonly bucket: ObjectBucket,
  ) {
    this.stream = objectStream(bucket);
  }

  /**
   * Stores bytes under `<search id>/<random>/<rest of name>`, where `name` is `<search id>/<rest of name>`. The object appears once every
   * chunk is stored. The caller must not change the bytes meanwhile. RESOURCE_EXHAUSTED if the storage is full.
   */
  async put(name: string, bytes: Uint8Array, options: PutOptions): Promise<ArtifactRef> {
    if (!NAME.test(name))
      throw new LatheError("INVALID_ARGUMENT", `object name is "${name}", must be <search id>/<name>`);
    const slash = name.indexOf("/");
    const owner = name.slice(0, slash);
    const unique = randomBytes(6).toString("hex");
    const object = `${owner}/${unique}${name.slice(slash)}`;
    const nuid = `${owner}.${unique}`;
    try {
      const { sequences, digest } = await this.putChunks(object, nuid, bytes, options.signal);
      const manifest: Manifest = {
        name: object,
        bucket: this.bucket,
        nuid,
        size: bytes.length,
        chunks: sequences.length,
        digest: `SHA-256=${digest.toString("base64").replaceAll("+", "-").replaceAll("/", "_")}`,
        mtime: new Date().toISOString(),
        deleted: false,
        options: { max_chunk_size: CHUNK_BYTES },
        metadata: { kind: options.kind, media_type: options.mediaType, sha256: digest.toString("hex") },
        sequences,
      };
      await store(this.bus, manifestSubject(this.bucket, object), Buffer.from(JSON.stringify(manifest)), {
        what: this.label(object),
        msgId: `${nuid}:manifest`,
        retryForMs: 60_000,
        signal: options.signal,
      });
      return toRef(manifest);
    } catch (error) {
      // No manifest names these chunks, so nothing else would remove them before the search is deleted.
      await this.removeChunks(object, nuid).catch((cause: unknown) => {
        this.bus.logger.warn("chunks of a failed object stay", { object, error: cause });
      });
      throw error;
    }
  }

  /** The whole object; NOT_FOUND if it does not exist, INTERNAL (OBJECT_CORRUPT) if it is not the one of the reference. */
  async get(recorded: Recorded, signal?: AbortSignal): Promise<Uint8Array> {
    const manifest = await this.agreed(recorded);
    const bytes = new Uint8Array(manifest.size);
    let at = 0;
    for await (const chunk of this.readChunks(manifest, signal)) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  /** The object in chunks of at most 256 KB. Throws OBJECT_CORRUPT after the last chunk if the digest differs. */
  async *chunks(recorded: Recorded, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.readChunks(await this.agreed(recorded), signal);
  }

  /** Whether an object exists, complete or not. */
  async has(object: string): Promise<boolean> {
    return (await this.readManifest(object)) !== undefined;
  }

  /** Names of the objects that begin with a prefix. */
  async list(prefix = ""): Promise<string[]> {
    const subjects = await listSubjects(this.bus, this.stream, manifestSubject(this.bucket, ">"));
    const head = manifestSubject(this.bucket, "").length;
    return [...subjects.keys()]
      .map((subject) => Buffer.from(subject.slice(head), "base64url").toString())
      .filter((name) => name.startsWith(prefix));
  }

  /** Removes an object. An object that does not exist is no error. */
  async delete(object: string): Promise<void> {
    const [owner, unique] = object.split("/");
    // The manifest first: an object with a manifest is always complete.
    await purgeSubjects(this.bus, this.stream, manifestSubject(this.bucket, object));
    if (owner && unique) await purgeSubjects(this.bus, this.stream, chunkSubject(this.bucket, `${owner}.${unique}`));
  }

  /** Removes every object of a search, and the chunks that interrupted puts have left. */
  async deleteAll(searchId: string): Promise<void> {
    for (const object of await this.list(`${searchId}/`))
      await purgeSubjects(this.bus, this.stream, manifestSubject(this.bucket, object));
    await purgeSubjects(this.bus, this.stream, chunkSubject(this.bucket, `${searchId}.>`));
  }

  private async putChunks(
    object: string,
    nuid: string,
    bytes: Uint8Array,
    signal?: AbortSignal,
  ): Promise<{ sequences: number[]; digest: Buffer }> {
    const count = Math.ceil(bytes.length / CHUNK_BYTES);
    const hash = createHash("sha256");
    const sequences: number[] = new Array<number>(count).fill(0);
    const underWay = new Set<Promise<void>>();
    let failure: unknown;
    for (let index = 0; index < count && failure === undefined; index++) {
      const chunk = bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      hash.update(chunk);
      const msgId = `${nuid}:${index}`;
      const request = { what: this.label(object), msgId, timeoutMs: 5000, retryForMs: 60_000, signal };
      const one: Promise<void> = store(this.bus, chunkSubject(this.bucket, nuid), chunk, request)
        .then(({ sequence }) => void (sequences[index] = sequence))
        .catch((error: unknown) => void (failure ??= error))
        .finally(() => underWay.delete(one));
      underWay.add(one);
      if (underWay.size >= PUT_WINDOW) await Promise.race(underWay);
    }
    await Promise.all(underWay);
    if (failure !== undefined) throw LatheError.from(failure);
    return { sequences, digest: hash.digest() };
  }

  private async removeChunks(object: string, nuid: string): Promise<void> {
    const subject = chunkSubject(this.bucket, nuid);
    // From server 2.10 on, a purge overtakes chunks on their way to the stream. A message does not: NATS refuses this one after them.
    const last = { what: this.label(object), msgId: `${nuid}:last`, expectedSequence: NEVER };
    await store(this.bus, subject, new Uint8Array(0), last).catch(() => {});
    await purgeSubjects(this.bus, this.stream, subject);
  }

  private async *readChunks(manifest: Manifest, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = createHash("sha256");
    const ahead: Promise<Uint8Array>[] = [];
    let size = 0;
    for (let asked = 0, index = 0; index < manifest.sequences.length; index++) {
      for (; asked < Math.min(index + GET_WINDOW, manifest.sequences.length); asked++) {
        const chunk = this.readChunk(manifest, asked, signal);
        // Awaited below in order; a failure before that must not count as an unhandled rejection.
        chunk.catch(() => {});
        ahead.push(chunk);
      }
      const chunk = await ahead.shift()!;
      hash.update(chunk);
      size += chunk.length;
      if (size > manifest.size) throw this.corrupt(manifest, `${size} bytes or more, must be ${manifest.size}`);
      yield chunk;
    }
    if (size !== manifest.size) throw this.corrupt(manifest, `${size} bytes, must be ${manifest.size}`);
    const sha256 = hash.digest("hex");
    if (sha256 !== manifest.metadata.sha256)
      throw this.corrupt(manifest, `sha256 is ${sha256}, must be ${manifest.metadata.sha256}`);
  }

  private async readChunk(manifest: Manifest, index: number, signal?: AbortSignal): Promise<Uint8Array> {
    const sequence = manifest.sequences[index]!;
    const request = { what: this.label(manifest.name), timeoutMs: 5000, retryForMs: 30_000, signal };
    const data =
      (await readDirect(this.bus, this.stream, sequence, request)) ??
      // This replica may lag behind the leader.
      (await readMessage(this.bus, this.stream, { seq: sequence }, request))?.data;
    if (!data) throw this.corrupt(manifest, `chunk ${index + 1} of ${manifest.chunks} is missing`);
    return data;
  }

  /** The manifest of an object, which must have the name, the size and the digest of its reference. */
  private async agreed({ object, sizeBytes, sha256 }: Recorded): Promise<Manifest> {
    const message = await this.readManifest(object);
    if (!message)
      throw new LatheError("NOT_FOUND", `${this.label(object)} does not exist`, { reason: "OBJECT_NOT_FOUND" });
    const manifest = parseManifest(message.data);
    if (!manifest) throw this.corrupt({ name: object }, "its manifest cannot be read");
    const chunks = Math.ceil(sizeBytes / CHUNK_BYTES);
    const differing = (
      [
        ["name", manifest.name, object],
        ["size", manifest.size, sizeBytes],
        ["sha256", manifest.metadata.sha256, sha256],
        ["number of chunks", manifest.sequences.length, chunks],
      ] as const
    ).find(([, is, must]) => is !== must);
    if (differing)
      throw this.corrupt({ name: object }, `its ${differing[0]} is ${differing[1]}, must be ${differing[2]}`);
    return manifest;
  }

  private readManifest(object: string): Promise<StoredMessage | undefined> {
    const query = { last_by_subj: manifestSubject(this.bucket, object) };
    return readMessage(this.bus, this.stream, query, { what: this.label(object) });
  }

  private corrupt({ name }: Pick<Manifest, "name">, what: string): LatheError {
    return new LatheError("INTERNAL", `${this.label(name)} is corrupt: ${what}`, { reason: "OBJECT_CORRUPT" });
  }

  private label(object: string): string {
    return `object ${this.bucket}/${object}`;
  }
}

/** The manifest in a message; undefined where it lacks what a read needs. */
function parseManifest(data: Uint8Array): Manifest | undefined {
  try {
    const manifest = JSON.parse(Buffer.from(data).toString("utf8")) as Partial<Manifest> | null;
    const { sequences, metadata } = manifest ?? {};
    const whole = Array.isArray(sequences) && sequences.every((sequence) => Number.isSafeInteger(sequence));
    return whole && metadata ? (manifest as Manifest) : undefined;
  } catch {
    // Not JSON.
    return undefined;
  }
}

function toRef(manifest: Manifest): ArtifactRef {
  return {
    object: manifest.name,
    kind: manifest.metadata.kind,
    sizeBytes: manifest.size,
    sha256: manifest.metadata.sha256,
    mediaType: manifest.metadata.media_type,
  };
}
