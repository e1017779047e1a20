import { transformFileSync } from "@swc/core";
import { createHash, randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { packageRoot } from "../shared/process/root";

const parts = ["services", "shared", "cli", "deploy"];

interface Source {
  path: string;
  mark: string;
}

function sources(folder: string): Source[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    if (!/(?<!\.test|\.fixture)\.ts$/.test(entry.name)) return [];
    const { mtimeMs, size } = statSync(path);
    return [{ path, mark: `${path} ${mtimeMs} ${size}` }];
  });
}

/** Removes the builds of earlier states of the sources. Another run may still need those of the last hour. */
function forgetOlder(home: string): void {
  if (!existsSync(home)) return;
  for (const name of readdirSync(home)) {
    const path = join(home, name);
    if (Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

/**
 * The folder of the compiled product, built once per state of the sources (in a second or two). Five services that each compile their
 * sources at the start would take ten times as long. Types are checked elsewhere.
 */
export function compiled(): string {
  const root = packageRoot();
  const all = parts.flatMap((part) => sources(join(root, part)));
  const state = createHash("sha256")
    .update(all.map(({ mark }) => mark).join("\n"))
    .digest("hex");
  const home = join(root, "dist", ".tests");
  const folder = join(home, state.slice(0, 16));
  if (existsSync(folder)) return folder;
  forgetOlder(home);
  const making = `${folder}.${randomBytes(4).toString("hex")}`;
  for (const { path } of all) {
    const { code } = transformFileSync(path, {
      jsc: { target: "es2023", parser: { syntax: "typescript" } },
      module: { type: "commonjs" },
      sourceMaps: "inline",
    });
    const target = join(making, relative(root, path)).replace(/\.ts$/, ".js");
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, code);
  }
  const descriptors = join("shared", "proto", "descriptors.binpb");
  copyFileSync(join(root, descriptors), join(making, descriptors));
  try {
    renameSync(making, folder);
  } catch (error) {
    // Another test process has built the same state.
    if (!existsSync(folder)) throw error;
    rmSync(making, { recursive: true });
  }
  return folder;
}
