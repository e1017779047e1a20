import type { JetStreamAccountStats, StreamInfo } from "nats";
import { skewMs } from "../process/clock";
import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { api, store } from "./jetstream";
import { settingFaults, streamInfo, streamSettings } from "./streams";
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

/** What an operator has to know of a NATS; asking changes nothing in it. */
export interface BusInspection {
  /** "2.10.22". */
  version: string;
  /** Of JetStream: "off" with the reason, or what it holds and may hold in bytes; limit -1: as much as the disk has. */
  jetstream: { off: string } | { bytes: number; limit: number };
  streams: StreamInspection[];
  consumers: ConsumerInspection[];
  /** Subjects that these credentials may not write to, with what NATS says. */
  refused: { subject: string; why: string }[];
  /** What went wrong in asking, other than a refusal. */
  faults: string[];
  /** How far its clock is ahead of this one, ms; undefined where this version does not tell. */
  skewMs: number | undefined;
}

interface StreamInspection {
  name: string;
  /** 0: it does not exist. */
  replicas: number;
  /** Settings that are not as this version wants them: "max_msgs is 10, must be -1"; "does not exist". */
  faults: string[];
}

interface ConsumerInspection {
  name: string;
  exists: boolean;
  pending: number;
  inHand: number;
  /** Processes that wait for its next message. */
  waiting: number;
}

const request = (what: string) => ({ what, timeoutMs: 3_000, retryForMs: 0 });
/** No stream will ever be there: what asks for it as its last sequence is refused after the permission, before the store. */
const NEVER = 2 ** 52;
const AGAIN_MS = 500;

/** Looks at the streams, consumers and permissions of the connection's account. */
export async function inspect(bus: Bus): Promise<BusInspection> {
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
  for (const settings of streamSettings()) {
    const askedAt = Date.now();
    // The client's type has no `ts`, which servers send from version 2.10 on.
    const found: (StreamInfo & { ts?: string }) | undefined = await streamInfo(bus, settings.name);
    const { name } = settings;
    streams.push({ name, replicas: found?.config.num_replicas ?? 0, faults: settingFaults(settings, found) });
    if (found?.ts !== undefined) skew = skewMs(Date.parse(found.ts), askedAt, Date.now());
  }
  const known = streams.filter(({ replicas }) => replicas > 0).map(({ name }) => name);
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
      // Between an acknowledgement and the next pull a busy consumer looks like one that nobody asks.
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

/** A service's own credentials may not look at what is not its own. */
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
    [WORK_STREAM, workSubject("train")],
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
      if (reason === "NATS_FORBIDDEN") refused.push({ subject, why: message });
      // Wrong last sequence: it would have been stored.
      else if (code !== "ABORTED") faults.push(message);
    }
  }
  return { refused, faults };
}
