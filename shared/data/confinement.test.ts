import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeImage, writeLabel, writeText } from "../testing/pictures";
import { confine } from "./confinement";
import { openDataset } from "./open";
import { exists, listNames, MAX_IMAGE_BYTES, readBytes } from "./reading";

const SECRET = "root:x:0:0 secret";
let base: string;
let inside: string;
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), "lathe-confined-")));
  inside = join(base, "inside");
  await writeText(join(inside, "a.txt"), "a line");
  await writeText(join(base, "outside/secret.txt"), SECRET);
  await symlink(join(base, "outside"), join(inside, "link"));
  await symlink(join(base, "outside/secret.txt"), join(inside, "secret.txt"));
  await symlink(join(base, "outside/missing.txt"), join(inside, "missing.txt"));
  await symlink("a.txt", join(inside, "same.txt"));
});
afterEach(async () => {
  confine(undefined);
  await rm(base, { recursive: true });
});

const read = (path: string) => readBytes(path, "list", 100);
const outside = (what: string, path: string) => ({
  message: `${what} ${path} is outside of the folders of LATHE_DATA_FOLDER`,
  code: "INVALID_ARGUMENT",
  reason: "DATASET_INVALID",
});

describe("a process that is confined to folders", () => {
  it("reads below them, also through links that stay below them and where a folder is itself a link", async () => {
    await symlink(inside, join(base, "mounted"));
    confine([join(base, "none"), join(base, "mounted")]);
    for (const path of [join(inside, "a.txt"), join(inside, "same.txt"), `${base}/mounted/link/../inside/a.txt`])
      expect(String(await read(path))).toBe("a line");
    expect(await listNames(inside)).toEqual(["a.txt", "link", "missing.txt", "same.txt", "secret.txt"]);
    await expect(read(join(inside, "b.txt"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it.each([
    ["a file beside them", "outside/secret.txt"],
    ["a missing file beside them", "outside/missing.txt"],
    ["a folder whose name begins with theirs", "inside2/a.txt"],
    ["a path that leaves by ..", "inside/../outside/secret.txt"],
    ["a link to a file outside", "inside/secret.txt"],
    ["a link to a missing file outside", "inside/missing.txt"],
    ["a file below a link to a folder outside", "inside/link/secret.txt"],
    ["a missing file below that link", "inside/link/missing.txt"],
  ])("refuses %s, in the same words whether it exists or not", async (_name, at) => {
    const path = `${base}/${at}`;
    confine([inside]);
    await expect(read(path)).rejects.toMatchObject(outside("list", path));
    await expect(listNames(path)).rejects.toMatchObject(outside("dataset folder", path));
    await expect(exists(path)).rejects.toMatchObject(outside("dataset file", path));
  });

  it("opens no data set outside, and nothing outside that a list or a folder inside leads to", async () => {
    const camvid = (path: string) => openDataset({ kind: "camvid", path, height: 8, width: 8, seed: 1 });
    await writeText(join(base, "outside/train.txt"), SECRET);
    await writeImage(join(base, "outside/image.png"), 8, 8);
    await writeLabel(join(base, "outside/label.png"), 8, 8, [0, 1]);
    await writeImage(join(inside, "image.png"), 8, 8);
    await writeLabel(join(inside, "label.png"), 8, 8, [0, 1]);
    await writeText(join(inside, "val.txt"), "image.png label.png");
    confine([inside]);
    await expect(camvid(join(base, "outside"))).rejects.toMatchObject(outside("camvid folder", join(base, "outside")));
    await symlink(join(base, "outside/train.txt"), join(inside, "train.txt"));
    await expect(camvid(inside)).rejects.toMatchObject(outside("list", join(inside, "train.txt")));
    await rm(join(inside, "train.txt"));
    for (const [image, label] of [
      ["../outside/image.png", "label.png"],
      ["image.png", "link/label.png"],
    ]) {
      await writeText(join(inside, "train.txt"), `${image} ${label}`);
      const what = image === "image.png" ? `label ${inside}/${label}` : `image ${base}/outside/image.png`;
      await expect(camvid(inside)).rejects.toThrow(`${what} is outside of the folders of LATHE_DATA_FOLDER`);
    }
    confine([]);
    await expect(camvid(inside)).rejects.toMatchObject(outside("camvid folder", inside));
    confine(undefined);
    await writeText(join(inside, "train.txt"), "image.png link/label.png");
    await (await camvid(inside)).close();
  });
});

describe("what is no regular file", () => {
  it("is refused by its kind, without waiting", async () => {
    execFileSync("mkfifo", [join(inside, "fifo")]);
    const server = createServer().listen(join(inside, "socket"));
    await mkdir(join(inside, "folder"));
    try {
      for (const folders of [undefined, [base, "/dev"]]) {
        confine(folders);
        for (const [path, kind] of [
          [join(inside, "fifo"), "a FIFO"],
          [join(inside, "socket"), "a socket"],
          ["/dev/zero", "a device"],
          [join(inside, "folder"), "a folder"],
        ]) {
          await expect(read(path!)).rejects.toThrow(`list ${path} is ${kind}, must be a regular file`);
          if (kind !== "a folder") await expect(listNames(path!)).rejects.toThrow(`is ${kind}, must be a folder`);
        }
      }
    } finally {
      server.close();
    }
  });
});

it("a file that is larger than its bound is refused before it is read", async () => {
  const path = join(inside, "large.png");
  await writeFile(path, "");
  await truncate(path, MAX_IMAGE_BYTES + 1);
  await expect(readBytes(path, "image", MAX_IMAGE_BYTES)).rejects.toThrow(
    `image ${path} has 268435457 bytes, must have at most 268435456 (256 MiB)`,
  );
});
