import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import { lastLines, startChild, type Child } from "./child";
import type { Guard } from "./guard";

const startDeadlineMs = 15_000;

/** The path of nats-server on PATH or in the usual folders; undefined if it is missing. */
export function findNatsServer(
  path = process.env.PATH ?? "",
  usual: readonly string[] = ["/usr/sbin", "/usr/local/bin"],
): string | undefined {
  return [...path.split(delimiter).filter((folder) => folder !== ""), ...usual]
    .map((folder) => join(folder, "nats-server"))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Missing or not executable: try the next folder.
    return false;
  }
}

function apt(...args: string[]): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync("apt-get", args, {
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return { ok: status === 0, output: `${stdout ?? ""}${stderr ?? ""}` };
}

const canInstall = () => process.getuid?.() === 0 && apt("--version").ok;

const missing = (why: string) =>
  new LatheError(
    "FAILED_PRECONDITION",
    `nats-server is not installed${why}; install it: "apt-get install nats-server" (Debian, Ubuntu), "brew install nats-server" (macOS), or put the binary on PATH`,
    { reason: "NATS_SERVER_MISSING" },
  );

/** The path of nats-server. If it is missing, root installs it with apt-get; otherwise FAILED_PRECONDITION explains how to install it. */
export function requireNatsServer(
  say: (line: string) => void,
  find: () => string | undefined = () => findNatsServer(),
  mayInstall: () => boolean = canInstall,
): string {
  const found = find();
  if (found !== undefined) return found;
  if (!mayInstall()) throw missing("");
  say("nats-server is not installed; installing it with apt-get");
  const install = () => apt("install", "-y", "--no-install-recommends", "nats-server");
  let result = install();
  // Fresh images have no package lists.
  if (!result.ok && apt("update").ok) result = install();
  const installed = find();
  if (installed !== undefined) return installed;
  const last = result.output.trim().split("\n").at(-1) ?? "";
  throw missing(` and apt-get could not install it (${last})`);
}

export interface Nats {
  url: string;
  port: number;
  child: Child;
}

interface NatsOptions {
  binary: string;
  /** The folder of the store. */
  folder: string;
  log: string;
  guard: Guard;
  /** A free port unless given. */
  port?: number | undefined;
}

/** Starts nats-server with JetStream on loopback; resolves when it accepts connections. */
export async function startNats({ binary, folder, log, guard, port: wanted }: NatsOptions): Promise<Nats> {
  const ports = join(folder, "ports");
  rmSync(ports, { recursive: true, force: true });
  mkdirSync(ports, { recursive: true });
  // With port -1 the server chooses a free port and writes it to a file, so no other process can take the port in between.
  const address = ["-a", "127.0.0.1", "-p", String(wanted ?? -1), "--ports_file_dir", ports];
  const args = ["-js", "-sd", join(folder, "store"), ...address];
  const child = startChild({ name: "nats-server", command: binary, args, log, guard });
  const deadline = performance.now() + startDeadlineMs;
  while (child.running && performance.now() < deadline) {
    const port = readPort(ports);
    if (port !== undefined && (await greets(port))) return { url: `nats://127.0.0.1:${port}`, port, child };
    await pause(20);
  }
  const why = child.running ? `does not answer within ${startDeadlineMs / 1000} s` : `ended: ${await child.exited}`;
  await child.stop(1000);
  throw new LatheError("UNAVAILABLE", `nats-server ${why}; the end of ${log}:\n${lastLines(log)}`, {
    reason: "NATS_START_FAILED",
  });
}

function readPort(folder: string): number | undefined {
  const name = readdirSync(folder).find((file) => file.endsWith(".ports"));
  if (name === undefined) return undefined;
  const text = readFileSync(join(folder, name), "utf8");
  // The file may still be incomplete.
  if (!text.trim().endsWith("}")) return undefined;
  const [url] = (JSON.parse(text) as { nats?: string[] }).nats ?? [];
  return url === undefined ? undefined : Number(new URL(url).port);
}

/** Whether the server sends its INFO line, which it does once it accepts connections. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const finish = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket.once("data", (data) => finish(data.toString("latin1").startsWith("INFO")));
    socket.once("error", () => finish(false));
    socket.setTimeout(500, () => finish(false));
  });
}
