import { LatheError } from "../process/errors";
import { EVENTS, WORK, isEventName, type JsonCodec, type LatheEvent, type Message, type WorkData } from "./catalog";
import type { WorkKind } from "./subjects";

/** The format of every stored message: CloudEvents 1.0 as JSON (structured mode). */
interface CloudEvent {
  specversion: "1.0";
  id: string;
  source: string;
  type: string;
  /** Search id. */
  subject: string;
  time: string;
  datacontenttype: "application/json";
  data: unknown;
}

const PREFIX = "lathe.v1.";
const WORK_PREFIX = "work-item.";

/** Writes NaN and infinities as strings, as proto3 JSON does. JSON.stringify would write null, which is read back as 0. */
export function stringifyProtoJson(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === "number" && !Number.isFinite(entry) ? String(entry) : entry,
  );
}

interface Attributes {
  id: string;
  source: string;
  searchId: string;
  time: Date;
}

function encode(type: string, data: unknown, { id, source, searchId, time }: Attributes): Uint8Array {
  const envelope: CloudEvent = {
    specversion: "1.0",
    id,
    source,
    type: PREFIX + type,
    subject: searchId,
    time: time.toISOString(),
    datacontenttype: "application/json",
    data,
  };
  return Buffer.from(stringifyProtoJson(envelope));
}

export function encodeEvent(event: LatheEvent, attributes: Attributes): Uint8Array {
  return encode(event.type, (EVENTS[event.type].message as JsonCodec<unknown>).toJSON(event.data), attributes);
}

export function encodeWork<K extends WorkKind>(kind: K, data: WorkData<K>, attributes: Attributes): Uint8Array {
  return encode(WORK_PREFIX + kind, (WORK[kind] as JsonCodec<unknown>).toJSON(data), attributes);
}

const malformed = (where: string, what: string, cause?: unknown) =>
  new LatheError("INVALID_ARGUMENT", `malformed envelope at ${where}: ${what}`, {
    reason: "ENVELOPE_MALFORMED",
    cause,
  });

/** Reads an envelope strictly; `where` (a subject and sequence) begins the message of every error. */
function decodeEnvelope(bytes: Uint8Array, where: string): CloudEvent {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw malformed(where, "not JSON", cause);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw malformed(where, "not an object");
  const envelope = parsed as Record<string, unknown>;
  if (envelope.specversion !== "1.0")
    throw malformed(where, `specversion is ${JSON.stringify(envelope.specversion)}, must be "1.0"`);
  for (const name of ["id", "source", "type", "subject", "time"]) {
    if (typeof envelope[name] !== "string" || envelope[name] === "")
      throw malformed(where, `${name} is not a non-empty string`);
  }
  if (!(envelope.type as string).startsWith(PREFIX))
    throw malformed(where, `type is "${envelope.type as string}", must begin with ${PREFIX}`);
  if (Number.isNaN(Date.parse(envelope.time as string)))
    throw malformed(where, `time is "${envelope.time as string}", not a timestamp`);
  if (envelope.datacontenttype !== "application/json")
    throw malformed(where, "datacontenttype is not application/json");
  if (typeof envelope.data !== "object" || envelope.data === null) throw malformed(where, "data is not an object");
  return envelope as unknown as CloudEvent;
}

function decodeData<T>(codec: Message<T>, data: unknown, where: string): T {
  try {
    const message = codec.fromJSON(data);
    // fromJSON() takes a text as the number NaN. Only encoding checks the ranges, and a record with such a number could not be sent.
    codec.encode(message).finish();
    return message;
  } catch (cause) {
    throw malformed(where, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** The event in an envelope; INVALID_ARGUMENT (ENVELOPE_MALFORMED) where it holds none. */
export function decodeEvent(
  bytes: Uint8Array,
  where: string,
): { id: string; searchId: string; time: Date; event: LatheEvent } {
  const envelope = decodeEnvelope(bytes, where);
  const type = envelope.type.slice(PREFIX.length);
  if (!isEventName(type)) throw malformed(where, `no event is named "${type}"`);
  const data = decodeData<unknown>(EVENTS[type].message, envelope.data, where);
  return {
    id: envelope.id,
    searchId: envelope.subject,
    time: new Date(envelope.time),
    event: { type, data } as LatheEvent,
  };
}

/** The work item in an envelope of the queue `kind`; INVALID_ARGUMENT (ENVELOPE_MALFORMED) where it holds none. */
export function decodeWork<K extends WorkKind>(
  kind: K,
  bytes: Uint8Array,
  where: string,
): { id: string; searchId: string; data: WorkData<K> } {
  const envelope = decodeEnvelope(bytes, where);
  const expected = PREFIX + WORK_PREFIX + kind;
  if (envelope.type !== expected) throw malformed(where, `type is "${envelope.type}", must be "${expected}"`);
  const data = decodeData<unknown>(WORK[kind], envelope.data, where) as WorkData<K>;
  return { id: envelope.id, searchId: envelope.subject, data };
}
