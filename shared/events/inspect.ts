import type { JetStreamAccountStats, StreamInfo } from "nats";
import { skewMs } from "../process/clock";
import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { api, NEVER, store } from "./jetstream";
import { contentOf, isForeign, settingFaults, streamInfo, streamSettings } from "./streams";
import {
  DURABLES,
  EVENTS_STREAM,
  OBJECT_BUCKETS,
  PLAIN_KINDS,
  RECORD_BUCKETS,
  WORK_STREAM,
  chunkSubject,
  eventSubject,
  objectStream,
  recordStream,
  recordSubject,
  workDurable,
  workSubject,
} from "./subjects";

/** State of a NATS account for operators. The inspection stores nothing. */
export interface BusInspection {
  /** "2.10.22". */
  version: string;
  /** "off" with the reason, or the stored bytes and their limit; limit -1: the size of the disk. */
  jetstream: { off: string } | { bytes: number; limit: number };
  streams: StreamInspection[];
  consumers: ConsumerInspection[];
  /** Subjects that these credentials may not write to, with the error of NATS. */
  refused: { subject: string; why: string }[];
  /** Failed probes, except for refused permissions. */
  faults: string[];
  /** How far its clock is ahead of ours, ms; undefined for servers before 2.10, which send no time. */
  skewMs: number | undefined;
}

interface StreamInspection {
  /** As it is on the server, with the prefix. */
  name: string;
  /** 0: it does not exist. */
  replicas: number;
  /** Its content in words where it belongs to another application. */
  foreign: string | undefined;
  /** Settings that differ from those of this version, such as "max_msgs is 10, must be -1"; or "does not exist". */
  faults: string[];
}

interface ConsumerInspection {
  name: string;
  exists: boolean;
  pending: number;
  inHand: number;
  /** Pull requests that wait for the next message. */
  waiting: number;
}

const request = (what: string) => ({ what, timeoutMs: 3_000, retryForMs: 0 });
const AGAIN_MS = 500;

/** Inspects JetStream, the streams (`replicas` copies of each are wanted), the consumers and the write permissions of the connection. */
export async function inspect(bus: Bus, replicas = 1): Promise<BusInspection> {
  const version = bus.connection.info?.version ?? "unknown";
  const nothing = { version, streams: [], consumers: [], refused: [], faults: [], skewMs: undefined };
  let account: JetStreamAccountStats;
  try {
    account = await api(bus, request("JetStream"), (manager) => manager.getAccountInfo());
  } catch (error) {
    const { reason, message } = LatheError.from(error);
    const refused = reason === "NATS_FORBIDDEN" ? [{ subject: "$JS.API.INFO", why: message }] : [];
    return { ...nothing, jetstream: { off: message }, refused };
  }
  const streams: StreamInspection[] = [];
  let skew: number | undefined;
  const known: string[] = [];
  for (const settings of streamSettings({ replicas })) {
    const askedAt = Date.now();
    // The client's type has no `ts`, which servers send from version 2.10 on.
    const found: (StreamInfo & { ts?: string }) | undefined = await streamInfo(bus, settings.name);
    streams.push({
      name: bus.names.stream(settings.name),
      replicas: found?.config.num_replicas ?? 0,
      foreign: found && isForeign(settings, found) ? contentOf(found) : undefined,
      faults: settingFaults(settings, found),
    });
    if (found) known.push(settings.name);
    if (found?.ts !== undefined) skew = skewMs(Date.parse(found.ts), askedAt, Date.now());
  }
  return {
    version,
    jetstream: { bytes: account.storage, limit: account.limits.max_storage },
    streams,
    consumers: await inspectConsumers(bus, known),
    ...(await refusals(bus, known)),
    skewMs: skew,
  };
}

async function inspectConsumers(bus: Bus, streams: readonly string[]): Promise<ConsumerInspection[]> {
  const wanted = [
    ...Object.values(DURABLES).map((name) => [EVENTS_STREAM, name] as const),
    ...PLAIN_KINDS.map((kind) => [WORK_STREAM, workDurable(kind)] as const),
  ];
  const profiling: (readonly [string, string])[] = [];
  if (streams.includes(WORK_STREAM)) {
    // One consumer for each kind and device class: they fit on one page of the list.
    const listed = api(bus, request("consumers of work"), ({ consumers }) => consumers.list(WORK_STREAM).next());
    for (const { name } of (await unlessForbidden(listed)) ?? [])
      if (!wanted.some(([, durable]) => durable === name)) profiling.push([WORK_STREAM, name]);
  }
  const found: ConsumerInspection[] = [];
  for (const [stream, name] of [...wanted, ...profiling].filter(([stream]) => streams.includes(stream))) {
    try {
      const ask = () => unlessForbidden(api(bus, request(name), ({ consumers }) => consumers.info(stream, name)));
      let info = await ask();
      // Between an acknowledgement and the next pull, a busy consumer looks as if no worker pulled from it.
      if (info && info.num_pending > 0 && info.num_ack_pending + info.num_waiting === 0) {
        await sleep(AGAIN_MS);
        info = await ask();
      }
      if (!info) continue;
      const { num_pending: pending, num_ack_pending: inHand, num_waiting: waiting } = info;
      found.push({ name, exists: true, pending, inHand, waiting });
    } catch (error) {
      if (LatheError.from(error).code !== "NOT_FOUND") throw error;
      found.push({ name, exists: false, pending: 0, inHand: 0, waiting: 0 });
    }
  }
  return found;
}

/** The result; undefined if the credentials forbid the request, as those of one service do for the consumers of others. */
async function unlessForbidden<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (LatheError.from(error).reason !== "NATS_FORBIDDEN") throw error;
    return undefined;
  }
}

async function refusals(bus: Bus, streams: readonly string[]): Promise<Pick<BusInspection, "refused" | "faults">> {
  const probe = "doctor";
  const subjects = [
    [EVENTS_STREAM, eventSubject(probe, "search.created")],
    [WORK_STREAM, workSubject(probe, "train")],
    ...RECORD_BUCKETS.map((bucket) => [recordStream(bucket), recordSubject(bucket, probe)] as const),
    ...OBJECT_BUCKETS.map((bucket) => [objectStream(bucket), chunkSubject(bucket, probe)] as const),
  ] as const;
  const refused: BusInspection["refused"] = [];
  const faults: string[] = [];
  for (const [stream, subject] of subjects) {
    if (!streams.includes(stream)) continue;
    try {
      const options = { ...request(`a message to ${subject}`), msgId: `doctor-${process.pid}-${Date.now()}` };
      await store(bus, subject, new Uint8Array(0), { ...options, expectedSequence: NEVER });
    } catch (error) {
      const { code, reason, message } = LatheError.from(error);
      if (reason === "NATS_FORBIDDEN") refused.push({ subject: bus.names.subject(subject), why: message });
      // ABORTED (wrong last sequence) means that the permission was granted.
      else if (code !== "ABORTED") faults.push(message);
    }
  }
  return { refused, faults };
}
