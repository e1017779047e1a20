import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ReadyFile } from "../../shared/process/boot";
import { entry } from "../../shared/process/entry";
import { LatheError } from "../../shared/process/errors";
import { machineBytes } from "../../shared/process/memory";
import { HealthCheckResponse_ServingStatus as Serving, HealthClient } from "../../shared/proto/grpc/health/v1/health";
import { connect } from "../../shared/rpc/client";
import { watchChecks } from "./checks";
import { lastLines, startChild, type Child } from "./child";
import { decodedImages } from "./decodedImages";
import { watchDisk, type DiskOptions } from "./disk";
import { startGuard, type Guard } from "./guard";
import { requireNatsServer, startNats } from "./nats";
import { takeStateFolder, type StateFolder } from "./state";
import { supervise, type Supervised } from "./supervise";

export const SERVICES = ["search", "supernet", "shrinking", "discretization", "latency"] as const;
export type ServiceName = (typeof SERVICES)[number];

interface StackOptions extends DiskOptions {
  /** State folder. It is created if missing, and rejected while another stack uses it. */
  folder: string;
  /** Receives status lines, such as an installation or a restart. */
  say?: (line: string) => void;
  /** Additional environment variables of each service. */
  env?: Readonly<Record<string, string>>;
  /** Processes of the supernet service, each of which trains one search at a time; 1 unless given. They share the cores. */
  workers?: number | undefined;
  /** Aborts the start. */
  signal?: AbortSignal | undefined;
  /** How long the storage of NATS may be full before the stack counts as broken, in milliseconds; unlimited unless given. */
  storagePatienceMs?: number;
  /** Replaces the folder with <service>/main in tests. */
  services?: string;
}

export interface ServiceAddress {
  pid: number;
  /** host:port. */
  grpc: string;
  /** host:port of /metrics, /healthz and /readyz. */
  http: string;
}

export type Addresses = Record<ServiceName, ServiceAddress>;

export interface Stack {
  readonly folder: string;
  readonly natsUrl: string;
  /** The current addresses. A restarted service keeps its gRPC address. */
  addresses(): Addresses;
  /** Process ids of nats-server and the services. */
  pids(): number[];
  logFile(service: ServiceName): string;
  /** Kills one process like a crash; it is restarted. */
  kill(service: ServiceName | "nats"): void;
  /** Resolves with the reason if a process has died too often or the disk is nearly full. */
  readonly broken: Promise<LatheError>;
  /** Stops the services, then nats-server. The state folder is kept. */
  stop(): Promise<void>;
}

const startDeadlineMs = 60_000;
/** Time for a graceful shutdown of a service, including a training step. */
const serviceGraceMs = 10_000;
const killAfterMs = serviceGraceMs + 2_000;
const natsGraceMs = 5_000;
const host = "127.0.0.1";
/** The flags of the image: 25 MB less memory per service at the same speed. */
const HEAP = ["--max-semi-space-size=4"];

/** Environment variables of a deployment that would break a private stack on loopback. */
const foreign = /^LATHE_(NATS|GRPC|HTTP|TLS|AUTH|READY|EXIT|SHUTDOWN)_/;

async function environment(extra: Readonly<Record<string, string>>): Promise<NodeJS.ProcessEnv> {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const cache = own.LATHE_DATA_CACHE || (await decodedImages());
  // A process that dies is restarted at once, so its work need not wait for the default lease of a minute.
  return { LATHE_LEASE: "15s", ...own, LATHE_DATA_CACHE: cache, ...extra };
}

/**
 * Starts a private nats-server with JetStream and the five services on free loopback ports, each a supervised process. Resolves when all
 * of them are SERVING. If one cannot start, the others are stopped and the error contains the last lines of its log.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { say = () => {}, signal } = options;
  const binary = requireNatsServer(say);
  const state = takeStateFolder(resolve(options.folder));
  const guard = startGuard();
  const started: Supervised[] = [];
  let announceBroken = (_error: LatheError): void => {};
  const broken = new Promise<LatheError>((settle) => (announceBroken = settle));

  let stopped: Promise<void> | undefined;
  let unwatch = () => {};
  const stopping = new AbortController();
  const stopAll = async () => {
    unwatch();
    stopping.abort();
    const [nats, ...services] = started;
    await Promise.all(services.map((service) => service.stop(killAfterMs)));
    await nats?.stop(natsGraceMs);
    await guard.stop();
    state.release();
  };
  const stop = () => (stopped ??= stopAll());

  try {
    unwatch = watchDisk(state.folder, announceBroken, options);
    const nats = await superviseNats(binary, state, guard, say, announceBroken);
    started.push(nats.supervised);
    signal?.throwIfAborted();
    const abort = new AbortController();
    const starts = processesOf(options).map(async ({ name, instance, env }) => {
      const settings = { ...options, env, instance, signal: abort.signal };
      const { start, address } = serviceProcess(name, nats.url, state, guard, settings);
      const supervised = await supervise({ name: `${instance} service`, start, say, onGivenUp: announceBroken });
      // Recorded even if another service has failed, so that it is stopped.
      started.push(supervised);
      return { name: instance, supervised, address };
    });
    const onAbort = () => abort.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    for (const start of starts) start.catch(onAbort);
    const settled = await Promise.allSettled(starts);
    signal?.removeEventListener("abort", onAbort);
    signal?.throwIfAborted();
    const failures = settled.flatMap((one) => (one.status === "rejected" ? [LatheError.from(one.reason)] : []));
    // The failed service has aborted the starts of the others; report its own error.
    const failure = failures.find(({ reason }) => reason !== "START_ABANDONED") ?? failures[0];
    if (failure) throw failure;
    const services = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));

    const served = services.filter(({ name }) => (SERVICES as readonly string[]).includes(name));
    const addresses = () => Object.fromEntries(served.map(({ name, address }) => [name, address()])) as Addresses;
    const stack: Stack = {
      folder: state.folder,
      natsUrl: nats.url,
      addresses,
      pids: () => started.map(({ child }) => child.pid),
      logFile: (service) => state.path("logs", `${service}.log`),
      kill(target) {
        const found = target === "nats" ? nats.supervised : services.find(({ name }) => name === target)?.supervised;
        found?.child.kill("SIGKILL");
      },
      broken,
      stop,
    };
    const content = { pid: process.pid, nats: nats.url, services: addresses() };
    writeFileSync(state.path("run", "stack.json"), `${JSON.stringify(content, null, 2)}\n`);
    const { storagePatienceMs } = options;
    void watchChecks({ addresses, say, onStorageFull: announceBroken, storagePatienceMs, signal: stopping.signal });
    return stack;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The processes of a stack. Each has a name of its own for its files; the first of a service has that of the service. */
function processesOf({ workers = 1, env = {} }: Pick<StackOptions, "workers" | "env">) {
  const share = workers > 1 ? { ...shareOf(workers), ...env } : env;
  const first = SERVICES.map((name) => ({ name, instance: name, env: name === "supernet" ? share : env }));
  const others = Array.from({ length: workers - 1 }, (_, index) => ({
    ...{ name: "supernet" as const, instance: `supernet-${index + 2}`, env: share },
  }));
  return [...first, ...others];
}

/** One of several training workers has its share of the cores and of the memory, where the environment does not say otherwise. */
function shareOf(workers: number): Record<string, string> {
  const { LATHE_THREADS, LATHE_TRAINING_MEMORY, LATHE_PROVIDER = "cpu" } = process.env;
  const mebibytes = Math.floor(machineBytes() / workers / 2 ** 20);
  return {
    LATHE_THREADS: LATHE_THREADS || String(Math.max(1, Math.floor(availableParallelism() / workers))),
    ...(LATHE_PROVIDER === "cpu" && { LATHE_TRAINING_MEMORY: LATHE_TRAINING_MEMORY || String(mebibytes) }),
  };
}

async function superviseNats(
  binary: string,
  state: StateFolder,
  guard: Guard,
  say: (line: string) => void,
  onGivenUp: (error: LatheError) => void,
): Promise<{ url: string; supervised: Supervised }> {
  let port: number | undefined;
  let url = "";
  const supervised = await supervise({
    name: "nats-server",
    say,
    onGivenUp,
    start: async () => {
      const log = state.path("logs", "nats.log");
      const nats = await startNats({ binary, folder: state.path("nats"), log, guard, port });
      // The services know the first port, so a restart must keep it.
      ({ port, url } = nats);
      return nats.child;
    },
  });
  return { url, supervised };
}

/** A service as a process, which serves gRPC once `start` resolves. Its log and ready file are in the state folder, named by `instance`. */
export function serviceProcess(
  name: ServiceName,
  natsUrl: string,
  state: StateFolder,
  guard: Guard,
  {
    env = {},
    signal,
    services = join(__dirname, "..", "..", "services"),
    instance = name,
  }: Pick<StackOptions, "env" | "signal" | "services"> & { instance?: string },
): { start: (stopping: AbortSignal) => Promise<Child>; address: () => ServiceAddress } {
  const readyFile = state.path("run", `${instance}.json`);
  let ready: ReadyFile | undefined;
  return {
    address: () => ({
      pid: ready?.pid ?? 0,
      grpc: `${host}:${ready?.grpcPort ?? 0}`,
      http: `${host}:${ready?.httpPort ?? 0}`,
    }),
    async start(stopping) {
      const { path, execArgv } = entry(join(services, name), "main");
      rmSync(readyFile, { force: true });
      const child = startChild({
        name: `${instance} service`,
        command: process.execPath,
        args: [...execArgv, ...HEAP, path],
        env: await environment({
          ...env,
          LATHE_NATS_URL: natsUrl,
          LATHE_GRPC_HOST: host,
          LATHE_HTTP_HOST: host,
          LATHE_GRPC_PORT: String(ready?.grpcPort ?? 0),
          LATHE_HTTP_PORT: String(ready?.httpPort ?? 0),
          LATHE_READY_FILE: readyFile,
          LATHE_EXIT_WITH_PARENT: "1",
          LATHE_SHUTDOWN_GRACE: `${serviceGraceMs}ms`,
        }),
        log: state.path("logs", `${instance}.log`),
        guard,
      });
      try {
        ready = await untilServing(child, readyFile, signal ? AbortSignal.any([signal, stopping]) : stopping);
        return child;
      } catch (error) {
        await child.stop(killAfterMs);
        throw error;
      }
    },
  };
}

/** Waits for the ready file of this process, then for SERVING. */
async function untilServing(child: Child, readyFile: string, signal: AbortSignal): Promise<ReadyFile> {
  const deadline = performance.now() + startDeadlineMs;
  let ready: ReadyFile | undefined;
  let last = "it has not reported its ports";
  while (child.running && performance.now() < deadline) {
    if (signal.aborted)
      throw new LatheError("CANCELLED", `${child.name}: the start was abandoned`, { reason: "START_ABANDONED" });
    ready ??= readReadyFile(readyFile, child.pid);
    if (ready) {
      const health = await healthOf(`${host}:${ready.grpcPort}`);
      if (health === "SERVING") return ready;
      last = `its health is ${health}`;
    }
    await pause(ready ? 100 : 25);
  }
  const why = child.running
    ? `is not ready within ${startDeadlineMs / 1000} s: ${last}`
    : `ended: ${await child.exited}`;
  throw new LatheError("UNAVAILABLE", `${child.name} ${why}; the end of ${child.log}:\n${lastLines(child.log)}`, {
    reason: "SERVICE_START_FAILED",
  });
}

function readReadyFile(path: string, pid: number): ReadyFile | undefined {
  if (!existsSync(path)) return undefined;
  const content = JSON.parse(readFileSync(path, "utf8")) as ReadyFile;
  return content.pid === pid ? content : undefined;
}

async function healthOf(address: string): Promise<string> {
  const connection = connect(HealthClient, address, { deadlineMs: 2_000 });
  try {
    const { status } = await connection.api.check({ service: "" });
    return status === Serving.SERVING ? "SERVING" : "NOT_SERVING";
  } catch (error) {
    // The service does not listen yet, or no longer; the caller retries until its deadline.
    return LatheError.from(error).code;
  } finally {
    connection.close();
  }
}
