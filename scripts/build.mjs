// Builds dist/ if a source is newer than it; with the argument "generate", only shared/proto if the contract is newer than it.
// A lock keeps two of them apart: the second waits, then finds the work done.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const stamp = at("dist", ".built");
const lock = at("node_modules", ".lathe-build.lock");
const generated = at("shared", "proto");
// Reflection reads it beside the generated code (shared/rpc/reflection.ts). It is written last, so its time is that of the generated code.
const descriptors = join("shared", "proto", "descriptors.binpb");
const contract = ["buf.yaml", "buf.gen.yaml", "package-lock.json", "scripts/build.mjs"];
const settings = ["package.json", "tsconfig.json", "tsconfig.build.json"];
// The image is built without deploy/, because nothing in deploy/ runs in it.
const sources = ["services", "shared", "cli", "deploy", "bench"].filter((folder) => existsSync(at(folder)));
const waitMs = 120_000;

/** Newest change below a folder, folders included: a removed file is a change too. */
function newest(path) {
  if (path === generated) return 0;
  const { mtimeMs } = statSync(path);
  const below = readdirSync(path, { withFileTypes: true }).map((one) => {
    const child = join(path, one.name);
    if (one.isDirectory()) return newest(child);
    return /\.(ts|proto)$/.test(one.name) && !one.name.endsWith(".test.ts") ? statSync(child).mtimeMs : 0;
  });
  // shared/ itself changes whenever shared/proto is generated anew.
  return Math.max(path === at("shared") ? 0 : mtimeMs, ...below);
}

/** The time at which a product was made; 0 if it is missing. */
const madeAt = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newestOf = (folders, files) =>
  Math.max(...folders.map((folder) => newest(at(folder))), ...files.map((file) => statSync(at(file)).mtimeMs));
const isGenerated = () => madeAt(at(descriptors)) > newestOf(["proto"], contract);
const isBuilt = () => isGenerated() && madeAt(stamp) > newestOf(["proto", ...sources], [...contract, ...settings]);

function holderIsGone() {
  try {
    process.kill(Number(readFileSync(join(lock, "pid"), "utf8")), 0);
    return false;
  } catch (error) {
    // ESRCH: no such process. A lock without a readable pid is being made or removed; the next look decides.
    return error.code === "ESRCH";
  }
}

async function takeLock() {
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, "pid"), String(process.pid));
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (holderIsGone() || Date.now() > deadline) rmSync(lock, { recursive: true, force: true });
    else await pause(100);
  }
}

function run(name, ...args) {
  const command = at("node_modules", ".bin", name);
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (status === 0) return true;
  process.stderr.write(`lathe: the build failed in ${name}:\n${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}\n`);
  return false;
}

/** Marks a product as made at `startedAt`, so that a source saved during the build makes the next build do it again. */
function mark(path, startedAt) {
  utimesSync(path, startedAt, startedAt);
  return true;
}

function generate() {
  if (isGenerated()) return true;
  const startedAt = new Date();
  return (
    run("buf", "generate") &&
    run("buf", "build", "--as-file-descriptor-set", "-o", descriptors) &&
    mark(at(descriptors), startedAt)
  );
}

function build() {
  if (isBuilt()) return true;
  const startedAt = new Date();
  const incremental = ["--incremental", "--tsBuildInfoFile", at("dist", ".tsbuildinfo")];
  if (!generate() || !run("tsc", "-p", "tsconfig.build.json", ...incremental)) return false;
  copyFileSync(at(descriptors), at("dist", descriptors));
  writeFileSync(stamp, "");
  return mark(stamp, startedAt);
}

const [isDone, make] = process.argv[2] === "generate" ? [isGenerated, generate] : [isBuilt, build];
if (!isDone()) {
  await takeLock();
  try {
    if (!make()) process.exitCode = 1;
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}
