import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DecodedFolder, entryName, type Decoded } from "./decodedFolder";

/** Bytes of an entry besides its pixels. */
const HEADER = 48;

let root: string;
const said: string[] = [];
const folderOf = (bytes = 1e6, folder = join(root, "decoded")) =>
  new DecodedFolder({ folder, bytes }, (line) => said.push(line));
const entry = (value: number, length = 12): Decoded => ({
  numbers: [7, 2 ** 32 - 1, 0, value],
  data: new Uint8Array(length).fill(value),
});
const nameOf = (value: number | string) => entryName(`digest ${value}`, ["image", 2, 2]);
const files = async () => {
  const found = await readdir(join(root, "decoded"), { recursive: true, withFileTypes: true });
  return found.filter((one) => one.isFile()).map(({ name }) => name);
};
const pathOf = async (name: string) => {
  const found = await readdir(join(root, "decoded"), { recursive: true });
  return join(
    root,
    "decoded",
    found.find((path) => path.endsWith(name))!,
  );
};
/** Makes an entry one that was last used so many days ago. */
const age = async (name: string, days: number) => {
  const time = new Date(Date.now() - days * 24 * 3600_000);
  await utimes(await pathOf(name), time, time);
};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "lathe-decoded-"));
  said.length = 0;
});
afterEach(() => rm(root, { recursive: true, force: true }));

it("gives what another process has kept, by its name and length", async () => {
  await folderOf().put(nameOf(1), entry(1));
  expect(await folderOf().get(nameOf(1), 12)).toEqual(entry(1));
  expect(await folderOf().get(nameOf(2), 12)).toBeUndefined();
  expect((await stat(await pathOf(nameOf(1)))).mode & 0o777).toBe(0o600);
});

it("names an entry by the bytes of its file and by all that its decoded form depends on", () => {
  const names = [
    entryName("a", ["image", 2, 2]),
    entryName("b", ["image", 2, 2]),
    entryName("a", ["label", 2, 2]),
    entryName("a", ["image", 2, 4]),
  ];
  expect(new Set(names).size).toBe(names.length);
  expect(entryName("a", ["image", 2, 2])).toBe(names[0]);
});

it.each<[string, (bytes: Buffer) => Buffer]>([
  ["cut off", (bytes) => bytes.subarray(0, -1)],
  ["longer", (bytes) => Buffer.concat([bytes, Buffer.of(1)])],
  ["changed in a pixel", (bytes) => (bytes.writeUInt8(9, bytes.length - 1), bytes)],
  ["changed in a number", (bytes) => (bytes.writeUInt8(9, 32), bytes)],
  ["empty", () => Buffer.alloc(0)],
])("removes an entry that is %s", async (_how, change) => {
  await folderOf().put(nameOf(1), entry(1));
  const path = await pathOf(nameOf(1));
  await writeFile(path, change(await readFile(path)));
  expect(await folderOf().get(nameOf(1), 12)).toBeUndefined();
  expect(await files()).toEqual([]);
});

it.each<[string, (path: string) => unknown]>([
  ["a FIFO", (path) => execFileSync("mkfifo", [path])],
  ["a link", (path) => symlink("/dev/zero", path)],
  ["a folder", (path) => mkdir(path)],
])("passes over %s in place of an entry, and replaces it", async (_what, put) => {
  await folderOf().put(nameOf(1), entry(1));
  const path = await pathOf(nameOf(1));
  await rm(path);
  await put(path);
  const folder = folderOf();
  expect(await folder.get(nameOf(1), 12)).toBeUndefined();
  await folder.put(nameOf(1), entry(1));
  expect(await folder.get(nameOf(1), 12)).toEqual(entry(1));
  expect(said).toEqual([]);
});

it("makes room by what was used longest ago, and keeps what is in use", async () => {
  const first = folderOf();
  for (const value of [1, 2, 3]) await first.put(nameOf(value), entry(value));
  await age(nameOf(1), 2);
  await age(nameOf(2), 3);
  await age(nameOf(3), 1);
  const second = folderOf(3 * (HEADER + 12));
  // Used again, so 1 is now the oldest.
  expect(await second.get(nameOf(2), 12)).toEqual(entry(2));
  await second.put(nameOf(4), entry(4));
  expect((await files()).sort()).toEqual([nameOf(2), nameOf(3), nameOf(4)].sort());
  await second.put(nameOf(5), entry(5));
  // All that is left is in use, so there is no room.
  await second.put(nameOf(6), entry(6));
  expect((await files()).sort()).toEqual([nameOf(2), nameOf(4), nameOf(5)].sort());
  expect(said).toEqual([]);
});

it("gives up entries of one day at random, so that part of a data set larger than the room is found", async () => {
  const first = folderOf();
  const all = Array.from({ length: 40 }, (_, value) => value);
  for (const value of all.slice(10)) await first.put(nameOf(value), entry(value));
  for (const name of await files()) await age(name, 1);
  const folder = folderOf(30 * (HEADER + 12));
  let found = 0;
  for (const value of all)
    if (await folder.get(nameOf(value), 12)) found++;
    else await folder.put(nameOf(value), entry(value));
  // In the order of their use, each would be gone when its turn comes. At random, 9 are found on average; in 20,000 trials never fewer than 2.
  expect(found).toBeGreaterThan(0);
  expect((await files()).length).toBe(30);
});

it("leaves what was used within an hour to the process that uses it", async () => {
  await folderOf().put(nameOf(1), entry(1));
  await age(nameOf(1), 0.5 / 24);
  const other = folderOf(HEADER + 12);
  await other.put(nameOf(2), entry(2));
  expect(await files()).toEqual([nameOf(1)]);
  await age(nameOf(1), 2 / 24);
  await folderOf(HEADER + 12).put(nameOf(2), entry(2));
  expect(await files()).toEqual([nameOf(2)]);
});

it("removes the rest of a process that died, and no other file", async () => {
  const first = folderOf();
  await first.put(nameOf(1), entry(1));
  const part = `${await pathOf(nameOf(1))}.${"0".repeat(16)}.part`;
  await writeFile(part, Buffer.alloc(HEADER + 12));
  await writeFile(join(part, "..", "notes.txt"), "mine");
  await age(part.slice(-20), 2);
  await age(nameOf(1), 1);
  await folderOf(2 * (HEADER + 12)).put(nameOf(2), entry(2));
  expect((await files()).sort()).toEqual(["notes.txt", nameOf(1), nameOf(2)].sort());
});

it("says once that it cannot be written, and goes on without", async () => {
  await writeFile(join(root, "decoded"), "a file");
  const folder = folderOf();
  for (const value of [1, 2]) await folder.put(nameOf(value), entry(value));
  expect(await folder.get(nameOf(1), 12)).toBeUndefined();
  expect(said).toEqual([expect.stringMatching(/^decoded images are no longer kept in .*\(LATHE_DATA_CACHE\): E/)]);
});
