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
  DEVICES_BUCKET,
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

export interface ProvisionOptions {
  /** Copies of every stream: 1, or up to 5 in a cluster. */
  replicas?: number;
  /** Limit of each object bucket in bytes; unlimited by default. */
  objectBytes?: number;
}

const MAX_WORK_ITEMS = 100_000;
/** The oldest dead letters give way to new ones. A bound in bytes would reserve that room in the account. */
const MAX_DEAD_LETTERS = 1_000;
/** An entry that its worker has not written again for so long lapses: three announcements. */
const PRESENCE_MS = 15_000;
/** The description of every stream of Lathe: its mark. A mark in the metadata would be lost, because nats-server before 2.10 drops it. */
const MARK = "Made by Lathe, which keeps its settings";

type StreamSettings = Partial<StreamConfig> & { name: string };

/**
 * The settings of every stream: all that decide which messages it stores, keeps and lets remove. An update leaves the others (placement,
 * compression, metadata) as an operator has set them.
 */
export function streamSettings({ replicas = 1, objectBytes = -1 }: ProvisionOptions = {}): StreamSettings[] {
  const settings = (name: string, subjects: string[], rest: Partial<StreamConfig>): StreamSettings => ({
    name,
    subjects,
    description: MARK,
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
    // A message may not be known as a duplicate for longer than it is kept.
    settings(recordStream(DEVICES_BUCKET), [recordSubject(DEVICES_BUCKET, ">")], {
      ...record,
      max_age: nanos(PRESENCE_MS),
      duplicate_window: nanos(PRESENCE_MS),
    }),
    ...OBJECT_BUCKETS.map((bucket) => {
      const subjects = [chunkSubject(bucket, ">"), manifestSubject(bucket, ">")];
      return settings(objectStream(bucket), subjects, { max_bytes: objectBytes, allow_rollup_hdrs: true });
    }),
    settings(DEAD_LETTERS_STREAM, [ALL_DEAD_LETTERS], {
      discard: DiscardPolicy.Old,
      max_msgs: MAX_DEAD_LETTERS,
      duplicate_window: nanos(600_000),
    }),
  ];
}

/** How long a service without the permission to create streams waits for the service that has it. */
const MADE_ELSEWHERE_MS = 30_000;

/**
 * Creates the streams that are missing and updates those that differ. If the credentials do not allow this, waits up to 30 s for another
 * service to do it, then fails with UNAVAILABLE. FAILED_PRECONDITION (STREAM_FOREIGN) where a stream of another application has one of our
 * names or subjects; nothing is changed then. `wanted` are all streams, or those to which this is limited. Safe to run in several
 * services at once: repeated settings change nothing.
 */
export async function provision(
  bus: Bus,
  options: ProvisionOptions = {},
  wanted = streamSettings(options),
): Promise<void> {
  refuseForeign(bus, wanted, await readStreams(bus, wanted));
  for (const settings of wanted) {
    try {
      await ensureStream(bus, settings);
    } catch (error) {
      if (LatheError.from(error).reason !== "NATS_FORBIDDEN") throw error;
      await awaitStream(bus, settings);
    }
  }
}

async function awaitStream(bus: Bus, settings: StreamSettings): Promise<void> {
  for (const deadline = performance.now() + MADE_ELSEWHERE_MS; ; await sleep(200)) {
    const found = await streamInfo(bus, settings.name);
    refuseForeign(bus, [settings], new Map([[settings.name, found]]));
    const faults = settingFaults(settings, found);
    if (faults.length === 0) return;
    if (performance.now() < deadline) continue;
    throw new LatheError(
      "UNAVAILABLE",
      `stream ${bus.names.stream(settings.name)} ${faults.join("; ")}, and these credentials may not make it: start a search service of this version`,
      { reason: "STREAM_MISMATCH" },
    );
  }
}

type FoundStream = Pick<StreamInfo, "config"> | { config: Partial<StreamConfig> } | undefined;

/** A stream as NATS has it; undefined if it does not exist. */
export async function streamInfo(bus: Bus, name: string): Promise<StreamInfo | undefined> {
  try {
    return await api(bus, { what: `stream ${name}`, timeoutMs: 3_000 }, ({ streams }) => streams.info(name));
  } catch (error) {
    if (LatheError.from(error).reason !== "STREAM_NOT_FOUND") throw error;
    return undefined;
  }
}

/** Each stream as NATS has it, by its name. */
export async function readStreams(
  bus: Bus,
  wanted: readonly StreamSettings[],
): Promise<Map<string, StreamInfo | undefined>> {
  return new Map(await Promise.all(wanted.map(async ({ name }) => [name, await streamInfo(bus, name)] as const)));
}

/** Settings that all versions of Lathe share. By them a stream without the mark is known as one that an earlier version has made. */
const SHARED = [
  "subjects",
  "retention",
  "storage",
  "discard",
  "max_msgs_per_subject",
  "allow_rollup_hdrs",
  "deny_delete",
] as const satisfies readonly (keyof StreamConfig)[];

const sameSetting = (found: unknown, wanted: unknown) =>
  // The server omits flags that are off.
  JSON.stringify(found ?? false) === JSON.stringify(wanted);

/** Whether a stream with one of our names belongs to another application. */
export function isForeign(wanted: StreamSettings, found: FoundStream): boolean {
  const description = found?.config.description ?? "";
  if (!found || description === MARK) return false;
  return (
    description !== "" ||
    SHARED.some((key) => wanted[key] !== undefined && !sameSetting(found.config[key], wanted[key]))
  );
}

/** The advice to an operator who meets a foreign stream. */
export const FOREIGN_ADVICE =
  "set LATHE_NATS_PREFIX, so that this installation has names of its own, or use another account of NATS";

function refuseForeign(
  bus: Bus,
  wanted: readonly StreamSettings[],
  found: ReadonlyMap<string, StreamInfo | undefined>,
): void {
  // Each version makes the stream of events first, so without it no bucket is one of an earlier version.
  const none = found.has(EVENTS_STREAM) && found.get(EVENTS_STREAM) === undefined;
  const foreign = wanted.flatMap((settings) => {
    const info = found.get(settings.name);
    return info && (isForeign(settings, info) || (none && info.config.description !== MARK))
      ? [`${bus.names.stream(settings.name)} (${contentOf(info)})`]
      : [];
  });
  if (foreign.length > 0)
    throw foreignStream(`stream ${foreign.join(", ")} belongs to another application and is left as it is`);
}

/** The content of a stream in words. */
export const contentOf = ({ config: { subjects, description } }: StreamInfo) =>
  [`subjects ${subjects.join(" ")}`, ...(description ? [`description "${description}"`] : [])].join(", ");

const foreignStream = (what: string) =>
  new LatheError("FAILED_PRECONDITION", `${what}: ${FOREIGN_ADVICE}`, { reason: "STREAM_FOREIGN" });

/** The settings of a stream that differ from the wanted ones. More copies than wanted are no fault. */
export function settingFaults({ num_replicas = 1, ...wanted }: StreamSettings, found: FoundStream): string[] {
  if (!found) return ["does not exist"];
  const config: Record<string, unknown> = { ...found.config };
  const copies = found.config.num_replicas ?? 1;
  const few = copies < num_replicas ? [`has ${copies} copies, must have ${num_replicas}`] : [];
  const others = Object.entries(wanted).flatMap(([key, value]) =>
    sameSetting(config[key], value)
      ? []
      : [`${key} is ${JSON.stringify(config[key])}, must be ${JSON.stringify(value)}`],
  );
  return [...few, ...others];
}

/** The settings, with the number of copies that an operator has given the stream if that is higher. */
export function withCopies(settings: StreamSettings, found: FoundStream): StreamSettings {
  return { ...settings, num_replicas: Math.max(settings.num_replicas ?? 1, found?.config.num_replicas ?? 1) };
}

/** How often subjects that are taken are asked for again, a tenth of a second apart, before a foreign stream is said to hold them. */
const OVERLAP_RETRIES = 5;

async function ensureStream(bus: Bus, wanted: StreamSettings): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    // Read before creating: credentials that cannot create streams may still use existing ones.
    const found = await streamInfo(bus, wanted.name);
    refuseForeign(bus, [wanted], new Map([[wanted.name, found]]));
    if (settingFaults(wanted, found).length === 0) return;
    const settings = withCopies(wanted, found);
    const what = `stream ${bus.names.stream(wanted.name)}`;
    try {
      await api(bus, { what, timeoutMs: 5000, retryForMs: 15_000 }, ({ streams }) =>
        found ? streams.update(wanted.name, settings) : streams.add(settings),
      );
      return;
    } catch (thrown) {
      const cause = LatheError.from(thrown);
      if (cause.reason === "SUBJECTS_OVERLAP") {
        // While another service makes this same stream, nats-server calls its subjects taken before it shows the stream.
        if (found || attempt > OVERLAP_RETRIES) throw foreignStream(await overlap(bus, wanted));
        await sleep(100);
        continue;
      }
      if (cause.code !== "INTERNAL") throw cause;
      // Another service may have made it since it was read.
      if (!found && attempt === 1) continue;
      const asked = `(${settings.num_replicas ?? 1} copies by LATHE_NATS_REPLICAS)`;
      const fault = found ? "exists with settings that cannot be changed" : `cannot be made ${asked}`;
      throw new LatheError("FAILED_PRECONDITION", `${what} ${fault}: ${cause.message}`, {
        reason: "STREAM_MISMATCH",
        cause,
      });
    }
  }
}

/** Says which streams hold the subjects that a stream of ours needs; their names need a permission that a service may not have. */
async function overlap(bus: Bus, { name, subjects = [] }: StreamSettings): Promise<string> {
  const holders = async (subject: string) => {
    try {
      return await api(bus, { what: subject }, ({ streams }) => streams.names(subject).next());
    } catch (error) {
      if (LatheError.from(error).reason !== "NATS_FORBIDDEN") throw error;
      return [];
    }
  };
  const others = [...new Set((await Promise.all(subjects.map(holders))).flat())].map((other) =>
    bus.names.stream(other),
  );
  const ours = subjects.map((subject) => bus.names.subject(subject)).join(" ");
  const whose = others.length > 0 ? `stream ${others.join(", ")}` : "a stream";
  return `${whose} of another application holds subjects among ${ours}, which stream ${bus.names.stream(name)} needs`;
}
