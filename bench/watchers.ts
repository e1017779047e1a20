import { mkdtempSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startStack } from "../cli/stack/stack";
import { LatheError } from "../shared/process/errors";
import { startWorker } from "../shared/process/worker";
import { HealthClient } from "../shared/proto/grpc/health/v1/health";
import { SearchServiceClient, SearchState } from "../shared/proto/lathe/v1/search";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { connect } from "../shared/rpc/client";
import { percentile } from "../services/latency/statistics";
import { positive, residentMegabytes, type Measurement } from "./measurement";
import type { Seen, WatchJob } from "./watchers/client";
import { checkTurns, courseOf, type Course } from "./watchers/course";

interface WatchersOptions {
  /** Searches that are open at one time, all of them on one trainer. */
  searches: number;
  /** Watchers of all searches together. */
  watchers: number;
  /** Each search that ends before this time is followed by another; the open ones are then cancelled. 0: each runs to its end. */
  minutes: number;
  /** Replaces the folder with <service>/main in tests. */
  services?: string;
}

/** Processes that watch, each over a connection of its own. */
const CLIENTS = 4;
/** Pause between two timed calls. */
const CALL_EVERY_MS = 25;

/** A small search that trains, shrinks, derives, retrains and measures. */
const spec = (seed: number) =>
  SearchSpec.fromPartial({
    preset: "tiny",
    dataset: { trainExamples: 16, validationExamples: 8 },
    space: {
      ...{ inputHeight: 32, inputWidth: 64, stemChannels: 4, dilations: [1], scales: [1, 2] },
      stages: [
        { channels: 8, minDepth: 1, maxDepth: 2, widths: [4, 8] },
        { channels: 12, minDepth: 1, maxDepth: 1, widths: [8, 12] },
      ],
    },
    training: { epochs: 6, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.5 },
    shrinking: { firstEpoch: 2 },
    retraining: { epochs: 3, batchSize: 4, pyramidChannels: 4 },
    profiling: { warmupRuns: 1, timedRuns: 5, threads: 1 },
    seed,
  });

/** The benchmark as a command. Arguments: --searches, --watchers, --minutes. */
export function watchers(args: readonly string[]): Promise<Measurement> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      searches: { type: "string", default: "20" },
      watchers: { type: "string", default: "200" },
      minutes: { type: "string", default: "5" },
    },
  });
  return watchSearches({
    searches: positive(values.searches, "--searches"),
    watchers: positive(values.watchers, "--watchers"),
    minutes: positive(values.minutes, "--minutes"),
  });
}

/**
 * Watches searches that are queued on one trainer, and times GetSearch beside the watchers. INTERNAL unless each watcher gets each event
 * once and in order, every search ends, and work is done in the order of the queues.
 */
export async function watchSearches({ searches, watchers: count, minutes, services }: WatchersOptions) {
  const folder = mkdtempSync(join(tmpdir(), "lathe-bench-"));
  const stack = await startStack({ folder, env: { LATHE_THREADS: "1" }, ...(services !== undefined && { services }) });
  const { grpc: address, pid } = stack.addresses().search;
  const connection = connect(SearchServiceClient, address);
  const health = connect(HealthClient, address);
  const { api } = connection;
  const series = { GetSearch: [] as number[], "Health.Check, for comparison": [] as number[] };
  const memory = { before: residentMegabytes(pid), peak: 0, after: 0 };
  const started: string[] = [];
  /** By the search before them in their slot; "" where there is none. */
  const followers = new Map<string, Promise<string>>();
  const courses = new Map<string, Promise<Course>>();
  let [delivered, isOver, isDone] = [0, minutes === 0, false];

  // One start after the other, so that the order of the queue is known.
  let starting: Promise<unknown> = Promise.resolve();
  const start = (): Promise<string> => {
    const next = starting.then(async () => {
      const { search } = await api.startSearch({ spec: spec(started.length), requestId: "" });
      started.push(search!.id);
      return search!.id;
    });
    starting = next;
    return next;
  };
  const onSeen = async ({ slot, searchId, sequences, error }: Seen): Promise<string> => {
    if (searchId === "") return started[slot]!;
    if (error !== undefined) throw new LatheError("INTERNAL", `a watch of ${searchId} ended with ${error}`);
    if (!courses.has(searchId)) courses.set(searchId, courseOf(connection, searchId));
    const course = await courses.get(searchId)!;
    const [got, expected] = [sequences.join(), course.map((event) => event.sequence).join()];
    if (got !== expected) throw new LatheError("INTERNAL", `a watcher of ${searchId} got ${got}, must be ${expected}`);
    delivered += sequences.length;
    // The first watcher that has seen the end of a search starts the next.
    if (!followers.has(searchId)) followers.set(searchId, isOver ? Promise.resolve("") : start());
    return followers.get(searchId)!;
  };
  const time = async (name: keyof typeof series, call: () => Promise<unknown>) => {
    const before = performance.now();
    await call();
    series[name].push(performance.now() - before);
  };
  const timeCalls = async () => {
    for (let call = 0; !isDone; call++) {
      const searchId = started[call % started.length]!;
      await time("GetSearch", () => api.getSearch({ searchId }));
      await time("Health.Check, for comparison", () => health.api.check({ service: "" }));
      memory.peak = Math.max(memory.peak, residentMegabytes(pid));
      await pause(CALL_EVERY_MS);
    }
  };
  try {
    for (let slot = 0; slot < searches; slot++) await start();
    const clock = setTimeout(() => {
      isOver = true;
      // Those that end meanwhile need no cancellation.
      for (const searchId of started) void api.cancelSearch({ searchId, reason: "" }).catch(() => {});
    }, minutes * 60_000);
    if (minutes === 0) clearTimeout(clock);
    const of = (client: number) =>
      Array.from({ length: count }, (_, watcher) => watcher % searches).filter((_, at) => at % CLIENTS === client);
    const watching = Array.from({ length: CLIENTS }, (_, client) =>
      startWorker<WatchJob, Seen, void, string>({ dir: join(__dirname, "watchers"), name: "client" }).run(
        { address, slots: of(client) },
        { onMessage: onSeen },
      ),
    );
    await Promise.all([Promise.all(watching).finally(() => (isDone = true)), timeCalls()]);
    clearTimeout(clock);
    const states = await Promise.all(
      started.map(async (searchId) => (await api.getSearch({ searchId })).search!.state),
    );
    const bad = states.findIndex(
      (state) =>
        state !== SearchState.SEARCH_STATE_SUCCEEDED && !(minutes > 0 && state === SearchState.SEARCH_STATE_CANCELLED),
    );
    if (bad >= 0) throw new LatheError("INTERNAL", `search ${started[bad]} is ${SearchState[states[bad]!]}`);
    const overtaken = checkTurns(await Promise.all(started.flatMap((id) => courses.get(id) ?? [])));
    memory.after = residentMegabytes(pid);
    const succeeded = states.filter((state) => state === SearchState.SEARCH_STATE_SUCCEEDED).length;
    return report({
      series,
      memory,
      notes: {
        searches: `${started.length} on one trainer, ${searches} open at one time; ${succeeded} succeeded, ${started.length - succeeded} cancelled at the end`,
        watchers: `${count} over ${CLIENTS} connections got ${delivered} events, each once and in order`,
        queues: `trainings and retrainings began in the order of their queues; at most ${overtaken} trainings began while a retraining waited`,
      },
    });
  } finally {
    connection.close();
    health.close();
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Found {
  series: Record<string, number[]>;
  /** Resident MB of the search service. */
  memory: { before: number; peak: number; after: number };
  notes: Record<string, string>;
}

function report({ series, memory: { before, peak, after }, notes }: Found): Measurement {
  const at = (values: readonly number[], share: number) =>
    percentile(
      [...values].sort((a, b) => a - b),
      share,
    ).toFixed(1);
  return {
    title: "calls beside watchers, in ms",
    unit: "ms",
    series,
    notes: { ...notes, "memory of the search service": `${before} MB before, ${peak} MB at most, ${after} MB after` },
    table: {
      columns: ["ms", "p50", "p99"],
      rows: Object.entries(series).map(([name, values]) => [name, at(values, 50), at(values, 99)]),
    },
  };
}
