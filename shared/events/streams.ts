import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
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

export interface ProvisionOptions {
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

/** Creates what is missing and updates what differs. Two services may do it at the same moment: the same settings twice change nothing. */
export async function provision(bus: Bus, options: ProvisionOptions = {}): Promise<void> {
  for (const settings of streamSettings(options)) await ensureStream(bus, settings);
}

async function ensureStream(bus: Bus, settings: StreamSettings): Promise<void> {
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
