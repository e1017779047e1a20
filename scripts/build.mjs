// Builds dist/ if a source is newer than it; with the argument "generate", only shared/proto if the contract has changed or a file is missing.
// A lock keeps two of them apart: the second waits, then finds the work done.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
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
import { dirname, join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const stamp = at("dist", ".built");
const lock = at("node_modules", ".lathe-build.lock");
const generated = at("shared", "proto");
// Reflection reads it beside the generated code (shared/rpc/reflection.ts).
const descriptors = join("shared", "proto", "descriptors.binpb");
// Written last: the digest of the contract, and the files generated from it.
const manifest = join(generated, ".generated.json");
const contract = ["buf.yaml", "buf.gen.yaml", "package-lock.json", "scripts/build.mjs"];
const settings = ["package.json", "tsconfig.json", "tsconfig.build.json"];
// The image is built without deploy/, because nothing in deploy/ runs in it.
const sources = ["services", "shared", "cli", "deploy", "bench"].filter((folder) => existsSync(at(folder)));
const remindMs = 30_000;

/** Newest change below a folder, folders included: a removed file is a change too. */
function newest(path) {
  if (path === generated) return 0;
  const { mtimeMs } = statSync(path);
  const below = readdirSync(path, { withFileTypes: true }).map((one) => {
    const child = join(path, one.name);
    if (one.isDirectory()) return newest(child);
    return /\.(ts|proto)$/.test(one.name) && !/\.(test|fixture)\.ts$/.test(one.name) ? statSync(child).mtimeMs : 0;
  });
  // shared/ itself changes whenever shared/proto is generated anew.
  return Math.max(path === at("shared") ? 0 : mtimeMs, ...below);
}

/** The time at which a product was made; 0 if it is missing. */
const madeAt = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newestOf = (folders, files) =>
  Math.max(...folders.map((folder) => newest(at(folder))), ...files.map((file) => statSync(at(file)).mtimeMs));
const filesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true })
    .flatMap((one) => (one.isDirectory() ? filesBelow(join(folder, one.name)) : [join(folder, one.name)]))
    .sort();

function digest() {
  const hash = createHash("sha256");
  for (const path of [...filesBelow(at("proto")), ...contract.map((file) => at(file))]) {
    hash.update(relative(root, path)).update("\0").update(readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

function isGenerated() {
  try {
    const { contract: known, files } = JSON.parse(readFileSync(manifest, "utf8"));
    return known === digest() && files.every((file) => existsSync(join(generated, file)));
  } catch {
    return false;
  }
}
const isBuilt = () => isGenerated() && madeAt(stamp) > newestOf(["proto", ...sources], [...contract, ...settings]);

/** The process that holds the lock; undefined while the lock is made or removed. */
function holder() {
  try {
    return Number(readFileSync(join(lock, "pid"), "utf8")) || undefined;
  } catch {
    return undefined;
  }
}

function isGone(pid) {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

async function takeLock() {
  let remindAt = Date.now() + remindMs;
  for (;;) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, "pid"), String(process.pid));
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const pid = holder();
    if (pid && isGone(pid)) rmSync(lock, { recursive: true, force: true });
    else await pause(100);
    if (Date.now() < remindAt) continue;
    remindAt += remindMs;
    const who = pid ? `process ${pid} builds` : "a build without a process id holds the lock";
    process.stderr.write(`lathe: the build waits: ${who}; if none does, remove ${lock}\n`);
  }
}

function run(name, ...args) {
  const command = at("node_modules", ".bin", name);
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (status === 0) return true;
  process.stderr.write(`lathe: the build failed in ${name}:\n${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}\n`);
  return false;
}

function generate() {
  if (isGenerated()) return true;
  const of = digest();
  rmSync(manifest, { force: true });
  if (!run("buf", "generate") || !run("buf", "build", "--as-file-descriptor-set", "-o", descriptors)) return false;
  const files = filesBelow(generated).map((path) => relative(generated, path));
  writeFileSync(manifest, JSON.stringify({ contract: of, files }));
  return true;
}

function build() {
  if (isBuilt()) return true;
  const startedAt = new Date();
  const incremental = ["--incremental", "--tsBuildInfoFile", at("dist", ".tsbuildinfo")];
  if (!generate() || !run("tsc", "-p", "tsconfig.build.json", ...incremental)) return false;
  copyFileSync(at(descriptors), at("dist", descriptors));
  writeFileSync(stamp, "");
  // A source that is saved during the build makes the next build do it again.
  utimesSync(stamp, startedAt, startedAt);
  return true;
}

const [isDone, make] = process.argv[2] === "generate" ? [isGenerated, generate] : [isBuilt, build];
if (!isDone()) {
  await takeLock();
  try {
    if (!make()) process.exitCode = 1;
  } finally {
    if (holder() === process.pid) rmSync(lock, { recursive: true, force: true });
  }
}
