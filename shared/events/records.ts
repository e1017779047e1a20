import { randomUUID } from "node:crypto";
import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import type { JsonCodec } from "./catalog";
import { stringifyProtoJson } from "./envelope";
import { sleep } from "./faults";
import { lastSequence, listSubjects, purgeSubjects, readMessage, store, type StoredMessage } from "./jetstream";
import { recordStream, recordSubject } from "./subjects";

export interface Entry<T> {
  key: string;
  value: T;
  /** Grows with every change of any record of the bucket. */
  revision: number;
}

interface RecordsOptions {
  /** How long a read or write of one record is repeated while NATS does not answer; 10 s. */
  retryForMs?: number;
}

const KEY = /^[a-zA-Z0-9_=/-][a-zA-Z0-9_=/.-]{0,199}$/;
const IN_FLIGHT = 64;

/** Typed records of a key-value bucket. Every write is a compare-and-set on the revision. */
export class Records<T> {
  private readonly stream: string;
  private readonly prefix: string;
  private readonly copy = new Map<string, Entry<T>>();
  /** The copy includes every change up to this revision. */
  private copiedUpTo = -1;
  /** The copy is of the time since this number of losses. */
  private losses = 0;

  constructor(
    private readonly bus: Bus,
    private readonly bucket: string,
    private readonly codec: JsonCodec<T>,
    private readonly options: RecordsOptions = {},
  ) {
    this.stream = recordStream(bucket);
    this.prefix = recordSubject(bucket, "");
  }

  /** The newest value of a key, including own writes; undefined if there is none. */
  async get(key: string): Promise<Entry<T> | undefined> {
    const message = await this.newestMessage(key);
    return message && this.decode(message);
  }

  /** Stores a new record and returns its revision; ALREADY_EXISTS if the key is taken. */
  async create(key: string, value: T): Promise<number> {
    try {
      return await this.write(key, value, 0);
    } catch (error) {
      if (!(error instanceof LatheError) || error.code !== "ABORTED") throw error;
      throw new LatheError("ALREADY_EXISTS", `${this.name(key)} exists`, { cause: error });
    }
  }

  /** Replaces the value of this revision and returns the new revision; ABORTED if the record has changed since. */
  async update(key: string, value: T, revision: number): Promise<number> {
    return this.write(key, value, revision);
  }

  /**
   * Reads, changes and stores a record, and repeats this if another writer was faster, so `change` may run several times. If `change` returns
   * undefined, the record stays as it is. ABORTED after `attempts` conflicts.
   */
  async mutate(
    key: string,
    change: (current: T | undefined) => T | undefined | Promise<T | undefined>,
    attempts = 50,
  ): Promise<Entry<T> | undefined> {
    for (let attempt = 1; ; attempt++) {
      const current = await this.get(key);
      const value = await change(current?.value);
      if (value === undefined) return current;
      try {
        return { key, value, revision: await this.write(key, value, current?.revision ?? 0) };
      } catch (error) {
        if (!(error instanceof LatheError) || error.code !== "ABORTED" || attempt >= attempts) throw error;
        await sleep(Math.random() * Math.min(100, 2 * attempt));
      }
    }
  }

  /** Removes a record and leaves no marker. A record that does not exist is no error. */
  async delete(key: string): Promise<void> {
    await purgeSubjects(this.bus, this.stream, this.subject(key));
    this.copy.delete(key);
  }

  async keys(): Promise<string[]> {
    const subjects = await listSubjects(this.bus, this.stream, recordSubject(this.bucket, ">"));
    return [...subjects.keys()].map((subject) => subject.slice(this.prefix.length));
  }

  /** The records of these keys, in the order of the keys. Missing records are left out. */
  async getAll(keys: readonly string[]): Promise<Entry<T>[]> {
    const found: (Entry<T> | undefined)[] = [];
    let next = 0;
    // In parallel: thousands of reads in sequence would take seconds.
    const worker = async () => {
      while (next < keys.length) {
        const at = next++;
        found[at] = await this.get(keys[at] ?? "");
      }
    };
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, keys.length) }, worker));
    return found.filter((entry) => entry !== undefined);
  }

  /** As getAll, but 64 records at a time, so that many large records do not fill the memory. */
  async *eachOf(keys: readonly string[]): AsyncGenerator<Entry<T>, void, undefined> {
    for (let at = 0; at < keys.length; at += IN_FLIGHT) yield* await this.getAll(keys.slice(at, at + IN_FLIGHT));
  }

  /**
   * Every record, most recently changed first. Keeps a copy of the whole bucket in memory, so that a later call reads only what has changed
   * since. For small records only.
   */
  async list(): Promise<Entry<T>[]> {
    if (this.losses !== this.bus.losses) {
      // The revisions of a new stream begin anew.
      this.losses = this.bus.losses;
      this.copy.clear();
      this.copiedUpTo = -1;
    }
    if (this.copiedUpTo < 0) this.copiedUpTo = await this.newest();
    const keys = new Set(await this.keys());
    for (const key of this.copy.keys()) if (!keys.has(key)) this.copy.delete(key);
    for await (const entry of this.changes(this.copiedUpTo)) {
      this.keep(entry);
      this.copiedUpTo = Math.max(this.copiedUpTo, entry.revision);
    }
    const missing = [...keys].filter((key) => !this.copy.has(key));
    for (const entry of await this.getAll(missing)) this.keep(entry);
    return [...this.copy.values()].sort((a, b) => b.revision - a.revision);
  }

  /** The newest revision of the bucket; 0 if nothing has ever been stored. */
  newest(): Promise<number> {
    return lastSequence(this.bus, this.stream);
  }

  /** The records that have changed since a revision, in the order of their changes. */
  async *changes(since: number): AsyncGenerator<Entry<T>, void, undefined> {
    const last = await this.newest();
    for (let from = since + 1; from <= last;) {
      const query = { seq: from, next_by_subj: recordSubject(this.bucket, ">") };
      const message = await readMessage(this.bus, this.stream, query, { what: `changes of bucket ${this.bucket}` });
      if (!message || message.sequence > last) return;
      yield this.decode(message);
      from = message.sequence + 1;
    }
  }

  private keep(entry: Entry<T>): void {
    const known = this.copy.get(entry.key);
    if (!known || known.revision < entry.revision) this.copy.set(entry.key, entry);
  }

  private async write(key: string, value: T, revision: number): Promise<number> {
    const data = Buffer.from(stringifyProtoJson(this.codec.toJSON(value)));
    // Each write has its own id, so that the repetition of an unanswered write is recognised.
    const msgId = randomUUID();
    const request = { what: this.name(key), ...this.options, msgId, expectedSequence: revision };
    try {
      return (await store(this.bus, this.subject(key), data, request)).sequence;
    } catch (error) {
      if (LatheError.from(error).code !== "ABORTED") throw error;
      // Servers from 2.12 on check the revision before the id, so they refuse such a repetition.
      const newest = await this.newestMessage(key);
      if (newest?.id === msgId) return newest.sequence;
      throw error;
    }
  }

  private newestMessage(key: string): Promise<StoredMessage | undefined> {
    const query = { last_by_subj: this.subject(key) };
    return readMessage(this.bus, this.stream, query, { what: this.name(key), ...this.options });
  }

  private decode(message: StoredMessage): Entry<T> {
    const key = message.subject.slice(this.prefix.length);
    try {
      const value = this.codec.fromJSON(JSON.parse(Buffer.from(message.data).toString("utf8")));
      return { key, value, revision: message.sequence };
    } catch (cause) {
      throw new LatheError("INTERNAL", `${this.name(key)} cannot be read: ${LatheError.from(cause).message}`, {
        reason: "RECORD_MALFORMED",
        cause,
      });
    }
  }

  private subject(key: string): string {
    if (!KEY.test(key) || key.endsWith(".") || key.includes("..")) {
      throw new LatheError(
        "INVALID_ARGUMENT",
        `record key is "${key}", must be 1 to 200 of a-z, A-Z, 0-9, _, =, /, - and inner dots`,
      );
    }
    return recordSubject(this.bucket, key);
  }

  private name(key: string): string {
    return `record ${this.bucket}/${key}`;
  }
}
