import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** A private nats-server of one test file. */
export interface TestNats {
  readonly url: string;
  /** Store folder, for tests that read it. */
  readonly store: string;
  /** Kills the server by SIGKILL, as a crash; resolves when the process has ended. */
  kill(): Promise<void>;
  /** Has the server read its configuration file again. */
  reload(): void;
  /** Starts the server again on the same port and store, killing it first where it still runs. */
  restart(): Promise<void>;
  /** Kills the server and removes its folder. */
  stop(): Promise<void>;
}

function findServer(): string {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/bin"];
  const found = folders.map((folder) => join(folder, "nats-server")).find((path) => existsSync(path));
  if (!found)
    throw new Error("nats-server is neither on PATH nor in /usr/sbin: install it to run the tests of the bus");
  return found;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Whether the server has sent its INFO line. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1");
    const finish = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket.once("data", (data) => finish(data.toString().startsWith("INFO")));
    socket.once("error", () => finish(false));
    socket.setTimeout(500, () => finish(false));
  });
}

/** Starts nats-server with JetStream on loopback and a free port, in a store folder of its own. */
export async function startNats(
  extraArguments: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<TestNats> {
  const binary = findServer();
  const folder = mkdtempSync(join(tmpdir(), "lathe-nats-"));
  const store = join(folder, "store");
  let child: ChildProcess | undefined;
  let port = -1;

  // A guard that reads until this process has ended in any way (Jest kills its workers), and then removes everything.
  const guard = spawn(
    "sh",
    ["-c", 'cat > /dev/null; [ -f "$0/pid" ] && kill -9 "$(cat "$0/pid")"; rm -rf "$0"', folder],
    { stdio: ["pipe", "ignore", "ignore"], detached: true },
  );
  guard.unref();
  (guard.stdin as Socket | null)?.unref();

  const start = async () => {
    // With port -1 the server chooses one and writes it to a file named after its pid, so no other process can take it in between.
    const server = spawn(
      binary,
      [
        "-js",
        "-a",
        "127.0.0.1",
        "-p",
        String(port),
        "-sd",
        store,
        "--ports_file_dir",
        folder,
        "-P",
        join(folder, "pid"),
        ...extraArguments,
      ],
      { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...env } },
    );
    child = server;
    // A test that fails before it stops its server must not keep Jest waiting.
    server.unref();
    (server.stderr as Socket | null)?.unref();
    let log = "";
    server.stderr?.on("data", (text: Buffer) => (log = (log + text.toString()).slice(-4000)));
    const deadline = Date.now() + 10_000;
    for (;;) {
      if (server.exitCode !== null || Date.now() > deadline) throw new Error(`nats-server did not start: ${log}`);
      if (port === -1) port = readPort(folder);
      if (port !== -1 && (await answers(port))) return;
      await pause(10);
    }
  };

  const kill = async () => {
    const server = child;
    child = undefined;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const gone = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGKILL");
    await gone;
    rmSync(join(folder, "pid"), { force: true });
  };

  await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    store,
    kill,
    reload: () => void child?.kill("SIGHUP"),
    restart: async () => {
      await kill();
      await start();
    },
    stop: async () => {
      await kill();
      const ended = new Promise((resolve) => guard.once("exit", resolve));
      guard.ref();
      guard.stdin.end();
      await ended;
    },
  };
}

function readPort(folder: string): number {
  const name = readdirSync(folder).find((file) => file.endsWith(".ports"));
  if (!name) return -1;
  const text = readFileSync(join(folder, name), "utf8");
  if (!text.trim().endsWith("}")) return -1;
  const ports = JSON.parse(text) as { nats?: string[] };
  return Number(new URL(ports.nats?.[0] ?? "nats://127.0.0.1:-1").port || -1);
}

/** A search id that no other test uses: "s-" and 12 lower-case characters. */
export function uniqueSearchId(): string {
  return `s-${[...randomBytes(12)].map((byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte % 32]).join("")}`;
}
