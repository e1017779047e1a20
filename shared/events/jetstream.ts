import { headers as newHeaders, type MsgHdrs } from "nats";
import { LatheError } from "../process/errors";
import { sentWith } from "../process/tracing/span";
import type { Bus, RequestOptions } from "./bus";
import { apiFault, type ApiFault } from "./faults";

/** A message as a stream holds it. */
export interface StoredMessage {
  sequence: number;
  subject: string;
  data: Uint8Array;
  time: Date;
}

interface StoreOptions extends Omit<RequestOptions, "headers"> {
  /** Nats-Msg-Id: the same message sent again within the stream's window is stored once. */
  msgId: string;
  /** Compare and set: store only where the newest message of the subject has this sequence; 0: where there is none. */
  expectedSequence?: number;
  /** Replace every earlier message of the subject. */
  rollup?: boolean;
}

/** A request of the JetStream API: JSON both ways, an error answer as LatheError. */
export async function api<T>(bus: Bus, endpoint: string, body: unknown, options: RequestOptions): Promise<T> {
  const reply = await bus.request(`$JS.API.${endpoint}`, body === undefined ? "" : JSON.stringify(body), options);
  const answer = reply.json<T & { error?: ApiFault }>();
  if (answer.error) throw apiFault(answer.error, options.what);
  return answer;
}

/** Stores a message and waits for the stream's word. Sent again under the same id where no answer comes, so it is stored once. */
export async function store(
  bus: Bus,
  subject: string,
  data: Uint8Array,
  options: StoreOptions,
): Promise<{ sequence: number; duplicate: boolean }> {
  const headers: MsgHdrs = newHeaders();
  headers.set("Nats-Msg-Id", options.msgId);
  if (options.expectedSequence !== undefined)
    headers.set("Nats-Expected-Last-Subject-Sequence", String(options.expectedSequence));
  if (options.rollup) headers.set("Nats-Rollup", "sub");
  for (const [name, value] of Object.entries(sentWith())) headers.set(name, value);
  // The server counts the headers too.
  const limit = bus.maxPayload - 1024;
  if (data.length > limit) {
    throw new LatheError("RESOURCE_EXHAUSTED", `${options.what} is ${data.length} bytes, must be at most ${limit}`, {
      reason: "PAYLOAD_TOO_LARGE",
    });
  }
  const reply = await bus.request(subject, data, { ...options, headers });
  const answer = reply.json<{ seq?: number; duplicate?: boolean; error?: ApiFault }>();
  const fault = answer.error && apiFault(answer.error, options.what);
  if (fault?.reason === "STORAGE_FULL") bus.noteStore(fault.message);
  if (fault) throw fault;
  bus.noteStore();
  return { sequence: answer.seq ?? 0, duplicate: answer.duplicate ?? false };
}

type MessageQuery = { seq: number } | { last_by_subj: string } | { seq: number; next_by_subj: string };

/** One stored message, asked of the stream's leader (reads its own writes); undefined where there is none. */
export async function readMessage(
  bus: Bus,
  stream: string,
  query: MessageQuery,
  options: RequestOptions,
): Promise<StoredMessage | undefined> {
  interface Answer {
    message: { seq: number; subject: string; data?: string; time: string };
  }
  try {
    const { message } = await api<Answer>(bus, `STREAM.MSG.GET.${stream}`, query, options);
    return {
      sequence: message.seq,
      subject: message.subject,
      data: Buffer.from(message.data ?? "", "base64"),
      time: new Date(message.time),
    };
  } catch (error) {
    if (error instanceof LatheError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** One stored message by its sequence, raw, from any replica; undefined where this replica has none. */
export async function readDirect(
  bus: Bus,
  stream: string,
  sequence: number,
  options: RequestOptions,
): Promise<Uint8Array | undefined> {
  const reply = await bus.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify({ seq: sequence }), options);
  // A message always carries its sequence; a bare status (404, 408) does not.
  return reply.headers?.has("Nats-Sequence") ? reply.data : undefined;
}

/** Last sequence of a stream; 0 where it has never held a message. */
export async function lastSequence(bus: Bus, stream: string): Promise<number> {
  const { state } = await api<{ state: { last_seq: number } }>(bus, `STREAM.INFO.${stream}`, undefined, {
    what: `stream ${stream}`,
  });
  return state.last_seq;
}

/** Every subject of a stream that matches the filter and has messages, with their count. */
export async function listSubjects(bus: Bus, stream: string, filter: string): Promise<Map<string, number>> {
  interface Answer {
    total?: number;
    state: { subjects?: Record<string, number> };
  }
  const subjects = new Map<string, number>();
  for (;;) {
    const body = { subjects_filter: filter, offset: subjects.size };
    const answer = await api<Answer>(bus, `STREAM.INFO.${stream}`, body, {
      what: `subjects of stream ${stream}`,
      timeoutMs: 5000,
    });
    const page = Object.entries(answer.state.subjects ?? {});
    for (const [subject, count] of page) subjects.set(subject, count);
    if (page.length === 0 || subjects.size >= (answer.total ?? 0)) return subjects;
  }
}

/** Removes every message of a stream that matches the filter; returns how many. */
export async function purgeSubjects(bus: Bus, stream: string, filter: string): Promise<number> {
  const what = `purge of ${filter} in stream ${stream}`;
  return (
    await api<{ purged: number }>(
      bus,
      `STREAM.PURGE.${stream}`,
      { filter },
      { what, timeoutMs: 10_000, retryForMs: 30_000 },
    )
  ).purged;
}
