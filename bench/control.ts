import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startGuard } from "../cli/stack/guard";
import { requireNatsServer, startNats } from "../cli/stack/nats";
import { SERVICES, serviceProcess, type ServiceName } from "../cli/stack/stack";
import { takeStateFolder } from "../cli/stack/state";
import { connect, type Bus } from "../shared/events/bus";
import { purgeSubjects } from "../shared/events/jetstream";
import { announce } from "../shared/events/presence";
import { provision } from "../shared/events/streams";
import { ALL_WORK, WORK_STREAM } from "../shared/events/subjects";
import { LatheError } from "../shared/process/errors";
import { DeviceFigures } from "../shared/proto/lathe/v1/result";
import { countListed, timeCalls } from "./control/calls";
import { storeSearches, type Stored } from "./control/store";
import { positive, residentMegabytes, summary, type Measurement } from "./measurement";

const STARTS = 3;
/** Idle time before memory is read, so that the garbage of earlier calls is collected. */
const QUIET_MS = 10_000;
const logger = { info() {}, warn: console.error, error: console.error };

type Site = {
  bus: Bus;
  natsPid: number;
  /** Runs a service in its own process while `use` runs. */
  during<T>(name: ServiceName, use: (running: Running) => Promise<T>): Promise<T>;
  close(): Promise<void>;
};

interface Running {
  address: string;
  pid: number;
  startMs: number;
}

/**
 * Measures the latency of control calls and the memory of the services as the number of stored searches grows: a real nats-server, each
 * service in its own process, and searches of preset small with their whole history. Arguments: --sizes 10,100,1000, --epochs, --calls.
 */
export async function control(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      sizes: { type: "string", default: "10,100,1000" },
      epochs: { type: "string", default: "200" },
      calls: { type: "string", default: "100" },
    },
  });
  const sizes = values.sizes.split(",").map((size) => positive(size, "--sizes"));
  const epochs = positive(values.epochs, "--epochs");
  const calls = positive(values.calls, "--calls");
  sizes.forEach((size, index) => {
    if (size < 10 || size <= (sizes[index - 1] ?? 0))
      throw new LatheError("INVALID_ARGUMENT", `--sizes is "${values.sizes}", must ascend from 10 or more`);
  });
  const site = await openSite();
  try {
    const stored: Stored = { running: [], finished: [], bytes: 0, events: 0 };
    const found: Found[] = [];
    for (const size of sizes) {
      const started = performance.now();
      const from = stored.running.length + stored.finished.length;
      const more = await storeSearches(site.bus, from, size, epochs);
      stored.running.push(...more.running);
      stored.finished.push(...more.finished);
      stored.bytes += more.bytes;
      stored.events += more.events;
      console.error(`${size} searches stored, ${((performance.now() - started) / 1000).toFixed(0)} s`);
      found.push(await measure(site, size, stored, calls));
    }
    return report(found, epochs, calls);
  } finally {
    await site.close();
  }
}

interface Found {
  size: number;
  series: Record<string, number[]>;
  /** Resident memory in MB. */
  memory: Record<string, number>;
  events: number;
  megabytes: number;
}

async function measure(site: Site, size: number, stored: Stored, calls: number): Promise<Found> {
  const memory: Record<string, number> = {};
  const starts: number[] = [];
  let series: Record<string, number[]> = {};
  // The first start is not counted, because it reads searches that no process has listed yet.
  await site.during("search", async ({ address }) => {
    while ((await countListed(address)) < size) await pause(100);
  });
  for (let start = 1; start <= STARTS; start++)
    await site.during("search", async ({ address, pid, startMs }) => {
      starts.push(startMs);
      if (start < STARTS) return;
      await pause(QUIET_MS);
      memory["search, started"] = residentMegabytes(pid);
      series = await timeCalls({ address, stored, calls });
      await pause(QUIET_MS);
      memory["search, after the calls"] = residentMegabytes(pid);
      memory["search, at its peak"] = residentMegabytes(pid, "VmHWM");
    });
  // Nothing trains here, so drop the work items of StartSearch.
  await purgeSubjects(site.bus, WORK_STREAM, ALL_WORK);
  for (const name of SERVICES) {
    if (name === "search") continue;
    await site.during(name, async ({ pid }) => {
      await pause(QUIET_MS / 2);
      memory[name] = residentMegabytes(pid);
    });
  }
  memory["nats-server"] = residentMegabytes(site.natsPid);
  const { events, bytes } = stored;
  return { size, series: { "start of the search service": starts, ...series }, memory, events, megabytes: bytes / 1e6 };
}

function report(found: readonly Found[], epochs: number, calls: number): Measurement[] {
  const names = Object.keys(found[0]?.series ?? {});
  const memories = Object.keys(found[0]?.memory ?? {});
  const sizes = found.map(({ size }) => String(size));
  return [
    {
      title: "latency of control calls by number of stored searches, in ms",
      unit: "ms",
      series: Object.fromEntries(
        found.flatMap(({ size, series }) => names.map((name) => [`${name}, ${size}`, series[name] ?? []])),
      ),
      notes: {
        epochs: `${epochs} per search; one search in ten is still running; events of ten searches alternate in the stream`,
        calls: `${calls} of each kind, in turns, one at a time over gRPC on loopback`,
        events: found.map(({ size, events, megabytes: mb }) => `${size}: ${events} of ${mb.toFixed(0)} MB`).join(", "),
      },
      table: {
        columns: ["ms", ...sizes.flatMap((size) => [`${size} p50`, `${size} p99`])],
        rows: names.map((name) => [
          name,
          ...found.flatMap(({ series }) => {
            const values = series[name] ?? [];
            const sorted = [...values].sort((a, b) => a - b);
            const p99 = sorted[Math.ceil(0.99 * sorted.length) - 1] ?? NaN;
            return [summary(values).median.toFixed(1), p99.toFixed(1)];
          }),
        ]),
      },
    },
    {
      title: "resident memory by number of stored searches, in MB",
      unit: "MB",
      series: {},
      notes: { quiet: `memory is read after ${QUIET_MS / 1000} s without calls` },
      table: {
        columns: ["MB", ...sizes],
        rows: memories.map((name) => [name, ...found.map(({ memory }) => memory[name] ?? NaN)]),
      },
    },
  ];
}

/** Starts nats-server with empty streams in its own folder. */
async function openSite(): Promise<Site> {
  const binary = requireNatsServer(console.error);
  const state = takeStateFolder(mkdtempSync(join(tmpdir(), "lathe-bench-")));
  const guard = startGuard();
  const close: (() => unknown)[] = [
    () => rmSync(state.folder, { recursive: true, force: true }),
    () => state.release(),
    () => guard.stop(),
  ];
  const closeAll = async () => {
    for (let each = close.pop(); each; each = close.pop()) await each();
  };
  // Otherwise gigabytes of events would remain.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void closeAll().finally(() => process.exit(1)));
  try {
    const nats = await startNats({ binary, folder: state.path("nats"), log: state.path("logs", "nats.log"), guard });
    close.push(() => nats.child.stop(5_000));
    const bus = await connect({ url: nats.url, name: "bench", logger });
    close.push(() => bus.drain());
    await provision(bus);
    // As in practice, a latency worker is there; StartSearch looks for it.
    const worker = announce(bus, DeviceFigures.fromPartial({ deviceClass: "cpu" }));
    close.push(() => worker.stop());
    await worker.announced;
    return {
      bus,
      natsPid: nats.child.pid,
      close: closeAll,
      async during(name, use) {
        const service = serviceProcess(name, nats.url, state, guard, {});
        const started = performance.now();
        const child = await service.start(new AbortController().signal);
        const startMs = performance.now() - started;
        try {
          return await use({ address: service.address().grpc, pid: child.pid, startMs });
        } finally {
          await child.stop(15_000);
        }
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}
