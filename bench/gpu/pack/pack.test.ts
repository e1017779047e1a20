import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packageRoot } from "../../../shared/process/root";
import { pack, split } from "./pack";
import { packageFolders, requiredBy } from "./packages";

const python = spawnSync("python3", ["-c", "import sys, lzma; print(sys.executable)"], { encoding: "utf8" });
const isTarget = process.platform === "linux" && process.arch === "x64" && python.status === 0;

let scratch: string;
beforeEach(() => (scratch = mkdtempSync(join(tmpdir(), "lathe-packed-"))));
afterEach(() => rmSync(scratch, { recursive: true }));

function write(path: string, text: string | Buffer, mode = 0o644): string {
  mkdirSync(dirname(join(scratch, path)), { recursive: true });
  writeFileSync(join(scratch, path), text, { mode });
  return join(scratch, path);
}
const manifest = (name: string, dependencies: object = {}) =>
  write(`node_modules/${name}/package.json`, JSON.stringify({ dependencies }));

it("parts hold all bytes in order, are as few as can be and of one size", () => {
  const bytes = Buffer.from(Array.from({ length: 101 }, (_, at) => at));
  const parts = split(bytes, 50);
  expect(parts.map(({ length }) => length)).toEqual([33, 34, 34]);
  expect(Buffer.concat(parts)).toEqual(bytes);
  expect(split(bytes, 101)).toEqual([bytes]);
});

it("the packages of a pack are those that files require, with their own", () => {
  manifest("@a/one", { two: "1", absent: "1" });
  manifest("two", { three: "2" });
  manifest("three");
  manifest("two/node_modules/three");
  manifest("unused");
  const file = write("dist/a.js", 'require("@a/one/sub"); require("node:fs"); require("./b"); require("two");');
  expect(requiredBy([file])).toEqual(["@a/one", "two"]);
  const folders = packageFolders(scratch, ["@a/one", "two"]).map((path) => path.slice(scratch.length + 1));
  expect(folders).toEqual(["node_modules/@a/one", "node_modules/two", "node_modules/two/node_modules/three"]);
});

it("each thing that a pack cannot be made without is named, and nothing is written", async () => {
  write("full/a", "");
  const folder = join(scratch, "full");
  const made = pack(folder, 90, () => {}, { root: scratch, node: process.execPath, nats: undefined });
  await expect(made).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    message: [
      "the CUDA provider is not installed: npm run cuda:install -- --provider-only",
      "nats-server, which searches need, is not on PATH: apt-get install nats-server",
      `--pack ${folder} is not empty`,
    ].join("\n"),
  });
  expect(readdirSync(folder)).toEqual(["a"]);
});

/** A library whose section of GPU code has 8 bytes for one architecture. */
function provider(architecture: number): Buffer {
  const file = Buffer.alloc(0x40 + 24 + 16 + 64 + 8 + 128);
  file.write("\x7fELF\x02\x01", "latin1");
  file.writeBigUInt64LE(BigInt(file.length - 128), 0x28);
  for (const [at, value] of [[0x3a, 64], [0x3c, 2], [0x3e, 0]] as const) file.writeUInt16LE(value, at); // prettier-ignore
  file.write("\0.nv_fatbin\0", 0x40, "latin1");
  const fat = 0x40 + 24;
  file.writeUInt32LE(0xba55ed50, fat);
  file.writeUInt16LE(16, fat + 6);
  file.writeBigUInt64LE(72n, fat + 8);
  file.writeUInt32LE(64, fat + 16 + 4);
  file.writeBigUInt64LE(8n, fat + 16 + 8);
  file.writeUInt32LE(architecture, fat + 16 + 28);
  for (const [at, name, start, size] of [[0, 0, 0x40, 24], [64, 1, fat, 88]] as const) {
    const header = file.length - 128 + at;
    file.writeUInt32LE(name, header);
    file.writeBigUInt64LE(BigInt(start), header + 24);
    file.writeBigUInt64LE(BigInt(size), header + 32);
  } // prettier-ignore
  return file;
}

(isTarget ? describe : describe.skip)("a pack", () => {
  const executable = python.stdout.trim();
  let folder: string;

  /** A pack of a small repository, whose Node prints its arguments and search paths. */
  beforeEach(async () => {
    const root = join(scratch, "root");
    for (const path of ["package.json", "dist/bench/gpu/verify.js", "dist/cli/a.js", "dist/services/a.js"])
      write(`root/${path}`, "{}");
    write("root/dist/shared/a.js", "");
    write("root/bench/pytorch/a.py", "");
    write("root/docs/examples/networks/a.json", "{}");
    write("root/native/cuda/libonnxruntime.so.1", "");
    write("root/native/cuda/libonnxruntime_providers_shared.so", "");
    write("root/native/cuda/lathe.node", "");
    write("root/native/cuda/libonnxruntime_providers_cuda.so", provider(90));
    for (const name of ["archive.py", "verify-gpu.py"])
      write(`root/bench/gpu/pack/${name}`, readFileSync(join(packageRoot(), "bench/gpu/pack", name)));
    const node = write(
      "node",
      '#!/bin/sh\necho "args $*"\necho "path $PATH"\necho "libraries $LD_LIBRARY_PATH"\n',
      0o755,
    );
    folder = join(scratch, "pack");
    await pack(folder, 90, () => {}, { root, node, nats: node });
  });

  /** Runs the script with nothing on PATH. */
  function run(...args: string[]) {
    const env = { PATH: join(scratch, "none"), PYTHONPATH: join(scratch, "site") };
    const command = ["-B", join(folder, "verify-gpu.py"), ...args];
    return spawnSync(executable, command, { env, encoding: "utf8" });
  }

  it("is unpacked once and runs with its arguments, its own programs and the libraries of python3's packages", () => {
    write("site/nvidia/cu13/lib/libcublas.so.13", "");
    const { status, stdout, stderr } = run("--out", "results");
    expect(status).toBe(0);
    const lathe = join(folder, "lathe");
    expect(stdout).toContain(`args --enable-source-maps ${lathe}/dist/bench/gpu/verify.js --out results\n`);
    expect(stdout).toContain(`path ${lathe}/bin:${dirname(executable)}:`);
    expect(stdout).toContain(`libraries ${scratch}/site/nvidia/cu13/lib`);
    expect(stderr).toContain("unpacks 1 MiB");
    expect(stderr).not.toContain("libcublas.so.13");
    expect(readFileSync(join(lathe, "native/cuda/libonnxruntime_providers_cuda.so"))).toEqual(provider(90));
    expect(existsSync(join(lathe, "native/cuda/lathe.node"))).toBe(true);
    const again = run();
    expect([again.status, again.stderr.includes("unpacks")]).toEqual([0, false]);
  });

  it("is refused with a line for each fault, and nothing is left", () => {
    appendFileSync(join(folder, "verify-gpu.part1"), "x");
    expect(run()).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringMatching(
        /^verify-gpu: verify-gpu\.part1 is damaged: its sha256 is \w+, must be \w+/,
      ) as string,
    });
    rmSync(join(folder, "verify-gpu.part1"));
    expect(run()).toMatchObject({ status: 2, stderr: `verify-gpu: verify-gpu.part1 is missing in ${folder}\n` });
    expect(existsSync(join(folder, "lathe"))).toBe(false);
    const file = write("file", "");
    expect(run("--into", join(file, "lathe")).stderr).toMatch(/cannot be filled: .*; another is taken by --into\n$/);
    expect(run("--into", scratch).stderr).toContain(`${scratch} exists and is not this pack`);
    expect(readdirSync(folder)).toEqual(["verify-gpu.json", "verify-gpu.py"]);
  });
});
