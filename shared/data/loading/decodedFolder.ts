import { randomBytes } from "node:crypto";
import { constants, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { DECODER } from "../decode";
import { sha256 } from "../fingerprint";
import { reasonOf } from "../dataset";

/** Where decoded files are kept between processes, and the bytes that they may take. */
export interface CacheFolder {
  readonly folder: string;
  readonly bytes: number;
}

/** The decoded form of a file, as it is kept: four whole numbers below 2^32 about it, and its pixels. */
export interface Decoded {
  readonly numbers: readonly [number, number, number, number];
  readonly data: Uint8Array;
}

/** An entry is the SHA-256 of the rest, the numbers (little endian), the pixels. */
const DIGEST_BYTES = 32;
const HEADER_BYTES = DIGEST_BYTES + 16;
/** Counts the changes of how files are decoded, resized and kept: an entry of another version is not found. */
const VERSION = 1;
/** Entries are spread over folders by the first digits of their names. Nothing else below the folder is touched. */
const PREFIX = 2;
const FOLDER_NAME = /^[0-9a-f]{2}$/;
const ENTRY_NAME = /^[0-9a-f]{64}(\.[0-9a-f]{16}\.part)?$/;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** The time of an entry is renewed at a use this much later. */
const RENEWED_AFTER_MS = 10 * MINUTE_MS;
/** An entry that was used within this time is in use. */
const IN_USE_MS = 60 * MINUTE_MS;
/** After so many bytes, the room is looked at again: other processes write too. */
const LOOK_AFTER_BYTES = 256 * 2 ** 20;

interface Room {
  /** Bytes of all entries. */
  used: number;
  limit: number;
  /** Bytes that this process has written since. */
  written: number;
  /** The entries that may go, the first to go last. */
  readonly unused: Kept[];
}

interface Kept {
  readonly path: string;
  readonly bytes: number;
}

/** The name of the entry of a file: of its bytes, and of all that its decoded form depends on. */
export const entryName = (digest: string, form: readonly unknown[]): string =>
  sha256(JSON.stringify([VERSION, DECODER, digest, ...form]));

/**
 * Decoded files on disk, by the digest of their bytes. Processes share the folder; an entry appears whole, by a rename. Entries that no
 * process has used since this one began, or for an hour, make room for new ones: those of the longest unused day first, of one day at random. A
 * data set that is larger than the room is read in one order again and again, and the oldest entry would be the one that it needs next.
 */
export class DecodedFolder {
  private readonly began = Date.now();
  private room: Promise<Room> | undefined;
  /** Why nothing is written any more. */
  private fault: string | undefined;

  /** `say` receives a line once where the folder cannot be written: the files are then decoded again each time. */
  constructor(
    private readonly cache: CacheFolder,
    private readonly say: (line: string) => void,
  ) {}

  /** The entry of a name, of `length` pixels; undefined where there is none, or none that is whole. */
  async get(name: string, length: number): Promise<Decoded | undefined> {
    const path = this.pathOf(name);
    // Neither waits for a FIFO nor follows a link.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW).catch(
      () => undefined,
    );
    if (file === undefined) return undefined;
    try {
      const found = await file.stat();
      const isWhole = found.isFile() && found.size === HEADER_BYTES + length;
      const entry = isWhole ? unpack(await file.readFile()) : undefined;
      // The time of the last use. A folder that can only be read keeps its times.
      if (entry && found.mtimeMs < Date.now() - RENEWED_AFTER_MS)
        await file.utimes(new Date(), new Date()).catch(() => undefined);
      if (!entry) await rm(path, { force: true, recursive: true }).catch(() => undefined);
      return entry;
    } catch {
      // The caller decodes a file whose entry cannot be read.
      return undefined;
    } finally {
      await file.close();
    }
  }

  /** Keeps an entry if there is room for it. */
  async put(name: string, entry: Decoded): Promise<void> {
    if (this.fault !== undefined) return;
    const path = this.pathOf(name);
    // Random: containers that share the folder have equal process ids.
    const part = `${path}.${randomBytes(8).toString("hex")}.part`;
    try {
      if (!(await this.takeRoom(HEADER_BYTES + entry.data.length))) return;
      for (const folder of [this.cache.folder, join(path, "..")]) await makeFolder(folder);
      const file = await open(part, "wx", 0o600);
      try {
        await file.writeFile(pack(entry));
      } finally {
        await file.close();
      }
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true }).catch(() => undefined);
      if (this.fault === undefined)
        this.say(`decoded images are no longer kept in ${this.cache.folder} (LATHE_DATA_CACHE): ${reasonOf(error)}`);
      this.fault = reasonOf(error);
    }
  }

  private pathOf(name: string): string {
    return join(this.cache.folder, name.slice(0, PREFIX), name);
  }

  private isInUse(usedAt: number): boolean {
    return usedAt >= Math.min(this.began, Date.now() - IN_USE_MS);
  }

  private async takeRoom(bytes: number): Promise<boolean> {
    const room = await (this.room ??= this.look());
    room.used += bytes;
    while (room.used > room.limit) {
      const first = room.unused.pop();
      if (first === undefined) break;
      // Another process may have used or removed it meanwhile.
      const now = await stat(first.path).catch(() => undefined);
      if (now && this.isInUse(now.mtimeMs)) continue;
      await rm(first.path, { force: true });
      room.used -= first.bytes;
    }
    if (room.used > room.limit) {
      room.used -= bytes;
      return false;
    }
    room.written += bytes;
    if (room.written > LOOK_AFTER_BYTES) this.room = undefined;
    return true;
  }

  /** Finds what is kept. The entries may take at most half of what the disk has left for them. */
  private async look(): Promise<Room> {
    await makeFolder(this.cache.folder);
    const unused: (Kept & { day: number })[] = [];
    let used = 0;
    for (const folder of (await readdir(this.cache.folder)).filter((name) => FOLDER_NAME.test(name))) {
      const names = (await readdir(join(this.cache.folder, folder))).filter((name) => ENTRY_NAME.test(name));
      for (const name of names) {
        const path = join(this.cache.folder, folder, name);
        const found = await stat(path).catch(() => undefined);
        if (!found?.isFile()) continue;
        used += found.size;
        if (this.isInUse(found.mtimeMs)) continue;
        unused.push({ path, bytes: found.size, day: Math.floor(found.mtimeMs / DAY_MS) + Math.random() });
      }
    }
    const { bavail, bsize } = await statfs(this.cache.folder);
    const limit = Math.min(this.cache.bytes, used + (bavail * bsize) / 2);
    return { used, limit, written: 0, unused: unused.sort((one, other) => other.day - one.day) };
  }
}

/** Creates a folder where it is missing. Not recursively: Node tries for ever where the system has no such place. */
async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}

function pack({ numbers, data }: Decoded): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + data.length);
  numbers.forEach((number, index) => bytes.writeUInt32LE(number, DIGEST_BYTES + 4 * index));
  bytes.set(data, HEADER_BYTES);
  bytes.write(sha256(bytes.subarray(DIGEST_BYTES)), "hex");
  return bytes;
}

function unpack(bytes: Buffer): Decoded | undefined {
  if (bytes.toString("hex", 0, DIGEST_BYTES) !== sha256(bytes.subarray(DIGEST_BYTES))) return undefined;
  const number = (index: number): number => bytes.readUInt32LE(DIGEST_BYTES + 4 * index);
  const data = new Uint8Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES, bytes.length - HEADER_BYTES);
  return { numbers: [number(0), number(1), number(2), number(3)], data };
}
