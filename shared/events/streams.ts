import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { api } from "./jetstream";
import {
  ALL_EVENTS,
  ALL_WORK,
  EVENTS_STREAM,
  OBJECT_BUCKETS,
  RECORD_BUCKETS,
  WORK_STREAM,
  chunkSubject,
  manifestSubject,
  objectStream,
  recordStream,
  recordSubject,
} from "./subjects";

interface ProvisionOptions {
  /** Copies of every stream: 1, or 3 in a cluster. */
  replicas?: number;
  /** Limit of each object bucket in bytes; none by default. */
  objectBytes?: number;
}

const NANOSECONDS = 1_000_000_000;
const MAX_WORK_ITEMS = 100_000;

export type StreamSettings = Record<string, unknown> & { name: string };

/** The settings of every stream, in the words of the JetStream API. */
export function streamSettings({ replicas = 1, objectBytes = -1 }: ProvisionOptions = {}): StreamSettings[] {
  const settings = (name: string, subjects: string[], rest: Record<string, unknown>): StreamSettings => ({
    name,
    subjects,
    storage: "file",
    num_replicas: replicas,
    retention: "limits",
    discard: "new",
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
    duplicate_window: 120 * NANOSECONDS,
    max_consumers: -1,
    allow_direct: true,
    ...rest,
  });
  return [
    settings(EVENTS_STREAM, [ALL_EVENTS], { duplicate_window: 600 * NANOSECONDS }),
    settings(WORK_STREAM, [ALL_WORK], {
      retention: "workqueue",
      max_msgs: MAX_WORK_ITEMS,
      duplicate_window: 600 * NANOSECONDS,
    }),
    ...RECORD_BUCKETS.map((bucket) =>
      settings(recordStream(bucket), [recordSubject(bucket, ">")], {
        max_msgs_per_subject: 1,
        allow_rollup_hdrs: true,
        deny_delete: false,
      }),
    ),
    ...OBJECT_BUCKETS.map((bucket) =>
      settings(objectStream(bucket), [chunkSubject(bucket, ">"), manifestSubject(bucket, ">")], {
        max_bytes: objectBytes,
        allow_rollup_hdrs: true,
      }),
    ),
  ];
}

/** How long a service that may not make streams waits for the one that does. */
const MADE_ELSEWHERE_MS = 30_000;

/**
 * Creates what is missing and updates what differs; where the credentials do not allow that, waits until another service has. Two services may
 * do it at the same moment: the same settings twice change nothing.
 */
export async function provision(bus: Bus, options: ProvisionOptions = {}): Promise<void> {
  for (const settings of streamSettings(options)) {
    try {
      await ensureStream(bus, settings);
    } catch (error) {
      if (LatheError.from(error).reason !== "NATS_FORBIDDEN") throw error;
      await awaitStream(bus, settings);
    }
  }
}

async function awaitStream(bus: Bus, settings: StreamSettings): Promise<void> {
  for (const deadline = Date.now() + MADE_ELSEWHERE_MS; ; await sleep(200)) {
    const faults = await streamFaults(bus, settings);
    if (faults.length === 0) return;
    if (Date.now() < deadline) continue;
    throw new LatheError(
      "UNAVAILABLE",
      `stream ${settings.name} ${faults.join("; ")}, and these credentials may not make it: start a search service of this version`,
      { reason: "STREAM_MISMATCH" },
    );
  }
}

interface StreamAnswer {
  config: Record<string, unknown>;
  ts?: string;
}

/** A stream as NATS has it; undefined where it does not exist. */
export async function streamInfo(bus: Bus, name: string): Promise<StreamAnswer | undefined> {
  try {
    return await api<StreamAnswer>(bus, `STREAM.INFO.${name}`, undefined, { what: `stream ${name}`, timeoutMs: 3_000 });
  } catch (error) {
    if (LatheError.from(error).reason !== "STREAM_NOT_FOUND") throw error;
    return undefined;
  }
}

/** What of a stream is not as it must be; copies may be more than asked for. */
export function settingFaults({ num_replicas, ...wanted }: StreamSettings, answer: StreamAnswer | undefined): string[] {
  if (!answer) return ["does not exist"];
  const { config } = answer;
  const copies = Number(config.num_replicas ?? 1);
  const few = copies < Number(num_replicas) ? [`has ${copies} copies, must have ${Number(num_replicas)}`] : [];
  // A flag that is off is left out of the answer.
  const others = Object.entries(wanted).flatMap(([key, value]) =>
    JSON.stringify(config[key] ?? false) === JSON.stringify(value)
      ? []
      : [`${key} is ${JSON.stringify(config[key])}, must be ${JSON.stringify(value)}`],
  );
  return [...few, ...others];
}

const streamFaults = async (bus: Bus, settings: StreamSettings) =>
  settingFaults(settings, await streamInfo(bus, settings.name));

/** The settings with as many copies as an operator has given the stream, if those are more. */
export function withCopies(settings: StreamSettings, there: StreamAnswer | undefined): StreamSettings {
  const copies = Math.max(Number(settings.num_replicas), Number(there?.config.num_replicas ?? 1));
  return { ...settings, num_replicas: copies };
}

async function ensureStream(bus: Bus, wanted: StreamSettings): Promise<void> {
  // Asked first: who may not make streams is not refused what is there.
  const there = await streamInfo(bus, wanted.name);
  if (settingFaults(wanted, there).length === 0) return;
  const settings = withCopies(wanted, there);
  const what = `stream ${settings.name}`;
  const request = { what, timeoutMs: 5000, retryForMs: 15_000 };
  try {
    await api(bus, `STREAM.CREATE.${settings.name}`, settings, request);
  } catch (error) {
    if (!(error instanceof LatheError) || error.code !== "INTERNAL") throw error;
    // The name is taken by other settings.
    try {
      await api(bus, `STREAM.UPDATE.${settings.name}`, settings, request);
    } catch (cause) {
      throw new LatheError(
        "FAILED_PRECONDITION",
        `${what} exists with settings that cannot be changed: ${LatheError.from(cause).message}`,
        { reason: "STREAM_MISMATCH", cause },
      );
    }
  }
}
