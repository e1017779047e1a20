import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { packageRoot } from "../../shared/process/root";

/** The helm version to build if PATH has no helm. */
const HELM = "v3.22.0";
/** Time limit of a build without `full`, in milliseconds. It suffices if Go's cache holds most packages. */
const BUILD_MS = 40_000;
const root = packageRoot();
/** The folder of the built binaries. `npm ci` removes it; Go's own cache keeps the next build short. */
const cache = join(root, "node_modules", ".cache", "lathe-verify");

const TIMED_OUT = `not within ${BUILD_MS / 1000} s; LATHE_VERIFY=full takes the time`;

/** The result of a command; `output` is stdout and stderr together. */
interface Ran {
  status: number;
  stdout: string;
  output: string;
}

export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Ran {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    timeout: options.timeoutMs,
  });
  if (error && "code" in error && error.code === "ETIMEDOUT") return { status: 1, stdout, output: TIMED_OUT };
  if (error) throw new LatheError("INTERNAL", `${command} cannot be run: ${error.message}`, { cause: error });
  return { status: status ?? 1, stdout, output: `${stdout}${stderr}`.trim() };
}

/** The path of a program on PATH or in the usual folders of Go and Debian. */
function onPath(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/go/bin", "/usr/sbin", "/usr/local/bin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** A program, or why it is missing and how to get it. */
export type Tool = { path: string } | { missing: string };

/** The helm on PATH, or one built with Go; `full` lifts the time limit of the build. */
export function helm(full: boolean): Tool {
  const found = onPath("helm");
  if (found !== undefined) return { path: found };
  const folder = join(cache, `helm-${HELM}`);
  return built(join(folder, "helm"), full, (go, timeoutMs) =>
    run(go, ["install", `helm.sh/helm/v3/cmd/helm@${HELM}`], {
      env: { GOBIN: folder, GOFLAGS: "-mod=mod" },
      timeoutMs,
    }),
  );
}

/** The program of validators/, built from these sources; `full` lifts the time limit of the build. */
export function validators(full: boolean): Tool {
  const cwd = join(root, "deploy", "verify", "validators");
  const hash = createHash("sha256");
  for (const file of readdirSync(cwd).sort()) hash.update(readFileSync(join(cwd, file)));
  const path = join(cache, `validators-${hash.digest("hex").slice(0, 12)}`);
  return built(path, full, (go, timeoutMs) => run(go, ["build", "-o", path, "."], { cwd, timeoutMs }));
}

function built(path: string, full: boolean, make: (go: string, timeoutMs: number) => Ran): Tool {
  if (existsSync(path)) return { path };
  // A fresh machine compiles for minutes, so CI would wait 80 s without a result.
  if (process.env.CI === "true" && !full)
    return { missing: "is missing, and CI does not build it; LATHE_VERIFY=full does" };
  const go = onPath("go");
  if (go === undefined) return { missing: "is missing, and Go is missing to build it" };
  mkdirSync(cache, { recursive: true });
  const { status, output } = make(go, full ? 0 : BUILD_MS);
  if (status !== 0) return { missing: `could not be built: ${output.split("\n").slice(-5).join("; ")}` };
  return { path };
}
