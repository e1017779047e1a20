import { headers as newHeaders, type JetStreamManager, type MsgHdrs, type NatsConnection } from "nats";
import { LatheError } from "../process/errors";
import { sentWith } from "../process/tracing/span";
import type { Bus, RequestOptions } from "./bus";
import { isUnavailable, natsFault } from "./faults";

/** A message as a stream holds it. */
export interface StoredMessage {
  sequence: number;
  subject: string;
  data: Uint8Array;
  /** Nats-Msg-Id; "" if the message has none. */
  id: string;
}

interface StoreOptions extends Omit<RequestOptions, "headers"> {
  /** Nats-Msg-Id: a message with the same id within the stream's window is stored once. */
  msgId: string;
  /** Compare and set: store only if the newest message of the subject has this sequence; 0: only if the subject has none. */
  expectedSequence?: number;
}

/** A sequence that no stream reaches. A message that expects it is refused after the check of permissions and before it is stored. */
export const NEVER = 2 ** 52;

/** Calls the client's JetStream API over `bus.request`, so with its retries, deadline and signal. Every failure is a LatheError. */
export async function api<T>(
  bus: Bus,
  options: RequestOptions,
  call: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  const request = (subject: string, payload: Uint8Array, { headers }: { headers?: MsgHdrs }) =>
    bus.request(subject, payload, { ...options, ...(headers && { headers }) });
  const connection = Object.create(bus.connection, { request: { value: request } }) as NatsConnection;
  try {
    return await call(await connection.jetstreamManager({ checkAPI: false }));
  } catch (error) {
    const fault = natsFault(error, options.what);
    if (fault.reason === "STREAM_NOT_FOUND") bus.noteMissing();
    throw fault;
  }
}

/**
 * Stores a message and waits for the acknowledgement of the stream. An unanswered message is sent again under the same id, so it is stored
 * once. ABORTED if `expectedSequence` does not hold; RESOURCE_EXHAUSTED if the message is too large or the storage is full.
 */
export async function store(
  bus: Bus,
  subject: string,
  data: Uint8Array,
  options: StoreOptions,
): Promise<{ sequence: number; duplicate: boolean }> {
  const { what, msgId, expectedSequence } = options;
  // The server counts the headers too.
  const limit = bus.maxPayload - 1024;
  if (data.length > limit) {
    throw new LatheError("RESOURCE_EXHAUSTED", `${what} is ${data.length} bytes, must be at most ${limit}`, {
      reason: "PAYLOAD_TOO_LARGE",
    });
  }
  const headers = newHeaders();
  for (const [name, value] of Object.entries(sentWith())) headers.set(name, value);
  const expect = expectedSequence === undefined ? {} : { lastSubjectSequence: expectedSequence };
  try {
    const { seq, duplicate } = await api(bus, options, (manager) =>
      manager.jetstream().publish(subject, data, { msgID: msgId, headers, expect }),
    );
    bus.room.stored();
    return { sequence: seq, duplicate };
  } catch (error) {
    bus.room.refused(LatheError.from(error));
    throw error;
  }
}

type MessageQuery = { seq: number; next_by_subj?: string } | { last_by_subj: string };

/** One stored message, read from the stream's leader (which has every acknowledged write); undefined if there is none. */
export async function readMessage(
  bus: Bus,
  stream: string,
  query: MessageQuery,
  options: RequestOptions,
): Promise<StoredMessage | undefined> {
  try {
    const found = await api(bus, options, ({ streams }) => streams.getMessage(stream, query));
    const { seq, subject, data, header } = found;
    return { sequence: seq, subject, data, id: header.get("Nats-Msg-Id") };
  } catch (error) {
    if (LatheError.from(error).code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** The data of one stored message, read by its sequence from any replica; undefined if this replica does not have it. */
export async function readDirect(
  bus: Bus,
  stream: string,
  sequence: number,
  options: RequestOptions,
): Promise<Uint8Array | undefined> {
  const reply = await bus.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify({ seq: sequence }), options);
  // A stored message has this header; an answer that is only a status (404, 408) has not.
  return reply.headers?.has("Nats-Sequence") ? reply.data : undefined;
}

/** Last sequence of a stream; 0 if it has never held a message. */
export async function lastSequence(bus: Bus, stream: string): Promise<number> {
  const { state } = await api(bus, { what: `stream ${stream}` }, ({ streams }) => streams.info(stream));
  return state.last_seq;
}

/** Every subject of a stream that matches the filter and has messages, with their count. */
export async function listSubjects(bus: Bus, stream: string, filter: string): Promise<Map<string, number>> {
  const options = { what: `subjects of stream ${stream}`, timeoutMs: 5000 };
  const { state } = await api(bus, options, ({ streams }) => streams.info(stream, { subjects_filter: filter }));
  return new Map(Object.entries(state.subjects ?? {}));
}

/** Removes every message of a stream that matches the filter; returns how many. */
export async function purgeSubjects(bus: Bus, stream: string, filter: string): Promise<number> {
  const options = { what: `purge of ${filter} in stream ${stream}`, timeoutMs: 10_000, retryForMs: 30_000 };
  return (await api(bus, options, ({ streams }) => streams.purge(stream, { filter }))).purged;
}

/** Removes one message of a stream by its sequence. A message that is gone is no error. */
export async function deleteMessage(bus: Bus, stream: string, sequence: number): Promise<void> {
  const options = { what: `message ${sequence} of stream ${stream}`, timeoutMs: 5_000, retryForMs: 30_000 };
  try {
    await api(bus, options, ({ streams }) => streams.deleteMessage(stream, sequence, false));
  } catch (error) {
    // A worker may have acknowledged it meanwhile, or an unanswered request has removed it.
    if (isUnavailable(error) || (await readMessage(bus, stream, { seq: sequence }, options))) throw error;
  }
}
