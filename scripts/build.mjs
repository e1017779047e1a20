// Builds dist/ if a source is newer than it. Two at once: the second waits, then finds it done.
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
// Reflection reads it beside the generated code (shared/rpc/reflection.ts).
const descriptors = join("shared", "proto", "descriptors.binpb");
// The image is built without deploy/, which holds nothing that runs in it.
const sources = ["proto", "services", "shared", "cli", "deploy", "bench"].filter((folder) => existsSync(at(folder)));
const single = [
  ...["package.json", "package-lock.json", "scripts/build.mjs"],
  ...["tsconfig.json", "tsconfig.build.json", "buf.yaml", "buf.gen.yaml"],
];
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

function age(path) {
  try {
    return statSync(path).mtimeMs;
  } catch {
    // Not there: older than anything.
    return 0;
  }
}

const changedAt = () =>
  Math.max(...sources.map((folder) => newest(at(folder))), ...single.map((file) => age(at(file))));
const isFresh = () => age(stamp) > changedAt();

function holderIsGone() {
  try {
    process.kill(Number(readFileSync(join(lock, "pid"), "utf8")), 0);
    return false;
  } catch (error) {
    // No such process; a lock without a readable pid is being made or taken away, and is judged at the next look.
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

if (!isFresh()) {
  await takeLock();
  try {
    if (!isFresh()) {
      // The stamp is of now: a source that is saved while the build runs makes the next one build again.
      const startedAt = new Date();
      const built =
        run("buf", "generate") &&
        run("buf", "build", "--as-file-descriptor-set", "-o", descriptors) &&
        run("tsc", "-p", "tsconfig.build.json", "--incremental", "--tsBuildInfoFile", at("dist", ".tsbuildinfo"));
      if (!built) process.exitCode = 1;
      else {
        copyFileSync(at(descriptors), at("dist", descriptors));
        writeFileSync(stamp, "");
        utimesSync(stamp, startedAt, startedAt);
      }
    }
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}
