import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodedImages } from "./decodedImages";

const root = mkdtempSync(join(tmpdir(), "lathe-home-"));
afterAll(() => rmSync(root, { recursive: true }));

it("are below the cache folder of the user, whom alone they belong to", async () => {
  mkdirSync(join(root, "cache"));
  expect(await decodedImages({ XDG_CACHE_HOME: join(root, "cache"), HOME: root })).toBe(
    join(root, "cache/lathe/decoded"),
  );
  for (const XDG_CACHE_HOME of [undefined, "", "relative"])
    expect(await decodedImages({ HOME: root, XDG_CACHE_HOME })).toBe(join(root, ".cache/lathe/decoded"));
  expect(statSync(join(root, ".cache/lathe/decoded")).mode & 0o777).toBe(0o700);
});

it("are nowhere without a place for them, or where all users can write", async () => {
  for (const HOME of ["/proc/nobody", "relative"]) expect(await decodedImages({ HOME })).toBe("none");
  const open = join(root, "open/lathe/decoded");
  mkdirSync(open, { recursive: true });
  chmodSync(open, 0o777);
  expect(await decodedImages({ XDG_CACHE_HOME: join(root, "open") })).toBe("none");
});

it("are nowhere where the folder cannot be written", async () => {
  writeFileSync(join(root, "file"), "");
  expect(await decodedImages({ XDG_CACHE_HOME: join(root, "file") })).toBe("none");
  expect(existsSync(join(root, "file/lathe"))).toBe(false);
});
