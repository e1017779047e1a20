import { DiscardPolicy, RetentionPolicy, StorageType, nanos, type StreamConfig, type StreamInfo } from "nats";
import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { api } from "./jetstream";
import {
  ALL_DEAD_LETTERS,
  ALL_EVENTS,
  ALL_WORK,
  DEAD_LETTERS_STREAM,
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
  /** Limit of each object bucket in bytes; unlimited by default. */
  objectBytes?: number;
}

const MAX_WORK_ITEMS = 100_000;
/** The oldest dead letters give way to new ones. */
const MAX_DEAD_LETTERS = 10_000;
const MAX_DEAD_LETTER_BYTES = 256 * 1024 * 1024;

type StreamSettings = Partial<StreamConfig> & { name: string };

/**
 * The settings of every stream: all that decide which messages it stores, keeps and lets remove. An update leaves the others (placement,
 * compression, description, metadata) as an operator has set them.
 */
export function streamSettings({ replicas = 1, objectBytes = -1 }: ProvisionOptions = {}): StreamSettings[] {
  const settings = (name: string, subjects: string[], rest: Partial<StreamConfig>): StreamSettings => ({
    name,
    subjects,
    storage: StorageType.File,
    num_replicas: replicas,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
    max_msg_size: -1,
    max_msgs_per_subject: -1,
    no_ack: false,
    deny_delete: false,
    deny_purge: false,
    duplicate_window: nanos(120_000),
    max_consumers: -1,
    allow_direct: true,
    ...rest,
  });
  const work = { retention: RetentionPolicy.Workqueue, max_msgs: MAX_WORK_ITEMS, duplicate_window: nanos(600_000) };
  const record = { max_msgs_per_subject: 1, allow_rollup_hdrs: true };
  return [
    settings(EVENTS_STREAM, [ALL_EVENTS], { duplicate_window: nanos(600_000) }),
    settings(WORK_STREAM, [ALL_WORK], work),
    ...RECORD_BUCKETS.map((bucket) => settings(recordStream(bucket), [recordSubject(bucket, ">")], record)),
    ...OBJECT_BUCKETS.map((bucket) => {
      const subjects = [chunkSubject(bucket, ">"), manifestSubject(bucket, ">")];
      return settings(objectStream(bucket), subjects, { max_bytes: objectBytes, allow_rollup_hdrs: true });
    }),
    settings(DEAD_LETTERS_STREAM, [ALL_DEAD_LETTERS], {
      discard: DiscardPolicy.Old,
      max_msgs: MAX_DEAD_LETTERS,
      max_bytes: MAX_DEAD_LETTER_BYTES,
      duplicate_window: nanos(600_000),
    }),
  ];
}

/** How long a service without the permission to create streams waits for the service that has it. */
const MADE_ELSEWHERE_MS = 30_000;

/**
 * Creates the streams that are missing and updates those that differ. If the credentials do not allow this, waits up to 30 s for another
 * service to do it, then fails with UNAVAILABLE. Safe to run in several services at once: repeated settings change nothing.
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

/** A stream as NATS has it; undefined if it does not exist. */
export async function streamInfo(bus: Bus, name: string): Promise<StreamInfo | undefined> {
  try {
    return await api(bus, { what: `stream ${name}`, timeoutMs: 3_000 }, ({ streams }) => streams.info(name));
  } catch (error) {
    if (LatheError.from(error).reason !== "STREAM_NOT_FOUND") throw error;
    return undefined;
  }
}

type FoundStream = { config: Partial<StreamConfig> } | undefined;

/** The settings of a stream that differ from the wanted ones. More copies than wanted are no fault. */
export function settingFaults({ num_replicas = 1, ...wanted }: StreamSettings, found: FoundStream): string[] {
  if (!found) return ["does not exist"];
  const config: Record<string, unknown> = { ...found.config };
  const copies = found.config.num_replicas ?? 1;
  const few = copies < num_replicas ? [`has ${copies} copies, must have ${num_replicas}`] : [];
  // The server omits flags that are off.
  const others = Object.entries(wanted).flatMap(([key, value]) =>
    JSON.stringify(config[key] ?? false) === JSON.stringify(value)
      ? []
      : [`${key} is ${JSON.stringify(config[key])}, must be ${JSON.stringify(value)}`],
  );
  return [...few, ...others];
}

const streamFaults = async (bus: Bus, settings: StreamSettings) =>
  settingFaults(settings, await streamInfo(bus, settings.name));

/** The settings, with the number of copies that an operator has given the stream if that is higher. */
export function withCopies(settings: StreamSettings, found: FoundStream): StreamSettings {
  return { ...settings, num_replicas: Math.max(settings.num_replicas ?? 1, found?.config.num_replicas ?? 1) };
}

async function ensureStream(bus: Bus, wanted: StreamSettings): Promise<void> {
  // Read before creating: credentials that cannot create streams may still use existing ones.
  const found = await streamInfo(bus, wanted.name);
  if (settingFaults(wanted, found).length === 0) return;
  const settings = withCopies(wanted, found);
  const what = `stream ${settings.name}`;
  const request = { what, timeoutMs: 5000, retryForMs: 15_000 };
  try {
    await api(bus, request, ({ streams }) => streams.add(settings));
  } catch (error) {
    if (!(error instanceof LatheError) || error.code !== "INTERNAL") throw error;
    // A stream of this name exists with other settings.
    try {
      await api(bus, request, ({ streams }) => streams.update(settings.name, settings));
    } catch (cause) {
      throw new LatheError(
        "FAILED_PRECONDITION",
        `${what} exists with settings that cannot be changed: ${LatheError.from(cause).message}`,
        { reason: "STREAM_MISMATCH", cause },
      );
    }
  }
}
