import { createInbox } from "nats";
import { recordCodec } from "../../services/search/record";
import type { Bus } from "../../shared/events/bus";
import { encodeEvent, stringifyProtoJson } from "../../shared/events/envelope";
import { api, store } from "../../shared/events/jetstream";
import { ensureDurable } from "../../shared/events/pull";
import {
  ALL_EVENTS,
  DURABLES,
  EVENTS_STREAM,
  SEARCHES_BUCKET,
  eventFilter,
  eventId,
  eventSubject,
  recordSubject,
} from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import { history } from "./history";

/** Number of concurrent searches, whose events alternate in the stream. */
const SIDE_BY_SIDE = 10;
/** One search in this many is still running. */
const RUNNING_SHARE = 10;
/** Number of messages published between two awaited acknowledgements. */
const BATCH = 200;
const NAME = "s-templateaaaa";

export interface Stored {
  running: string[];
  finished: string[];
  bytes: number;
  events: number;
}

/** An encoded search with a placeholder for its id. */
function template(epochs: number, finished: boolean) {
  const { events, record } = history(NAME, epochs, finished);
  const start = record.search.createdAt?.getTime() ?? 0;
  const messages = events.map((event, index) => {
    const id = eventId(NAME, event.type, index);
    const attributes = { id, searchId: NAME, source: "/lathe/bench", time: new Date(start + index * 60_000) };
    return { type: event.type, text: Buffer.from(encodeEvent(event, attributes)).toString() };
  });
  return { messages, record };
}

/** An id in the form of the service: "s-" and 12 letters from a to z. */
function benchId(index: number): string {
  let rest = index;
  const letters = Array.from({ length: 12 }, () => {
    const letter = String.fromCharCode(97 + (rest % 26));
    rest = Math.floor(rest / 26);
    return letter;
  });
  return `s-${letters.join("")}`;
}

/**
 * Stores the searches `from` to `to`: their events, alternating within groups of ten searches, and the records of the search service.
 * Acknowledges the events for the consumers of the services.
 */
export async function storeSearches(bus: Bus, from: number, to: number, epochs: number): Promise<Stored> {
  const kinds = { finished: template(epochs, true), running: template(epochs, false) };
  const stored: Stored = { running: [], finished: [], bytes: 0, events: 0 };
  for (let first = from; first < to; first += SIDE_BY_SIDE) {
    const group = Array.from({ length: Math.min(SIDE_BY_SIDE, to - first) }, (_, offset) => {
      const index = first + offset;
      // Running searches are the youngest, so they are the last of each group.
      const kind = index % RUNNING_SHARE === RUNNING_SHARE - 1 ? ("running" as const) : ("finished" as const);
      stored[kind].push(benchId(index));
      return { id: benchId(index), index, ...kinds[kind], last: 0 };
    });
    let waiting: { search: (typeof group)[number] }[] = [];
    const rounds = Math.max(...group.map(({ messages }) => messages.length));
    for (let round = 0; round < rounds; round++)
      for (const search of group) {
        const message = search.messages[round];
        if (!message) continue;
        const data = Buffer.from(message.text.replaceAll(NAME, search.id));
        const subject = eventSubject(search.id, message.type);
        stored.bytes += data.length;
        stored.events++;
        waiting.push({ search });
        const lastOfGroup =
          round === rounds - 1 && search === group.findLast(({ messages }) => messages.length === rounds);
        if (waiting.length < BATCH && !lastOfGroup) {
          bus.connection.publish(subject, data);
          continue;
        }
        // With a single publisher, sequences follow the order of the messages.
        const { sequence } = await store(bus, subject, data, {
          what: "event of the benchmark",
          msgId: `${search.id}:${round}`,
          timeoutMs: 60_000,
        });
        waiting.forEach((sent, at) => (sent.search.last = sequence - (waiting.length - 1 - at)));
        waiting = [];
      }
    for (const { id, index, record, last } of group) {
      const at = new Date((record.search.createdAt?.getTime() ?? 0) + index * 1000);
      const named = { ...record, search: { ...record.search, createdAt: at, lastSequence: last } };
      const text = stringifyProtoJson(recordCodec.toJSON(named)).replaceAll(NAME, id);
      await store(bus, recordSubject(SEARCHES_BUCKET, id), Buffer.from(text), {
        what: "record",
        msgId: `record:${id}`,
      });
    }
  }
  await passBy(bus, DURABLES.search, ALL_EVENTS);
  await passBy(bus, DURABLES.shrinking, eventFilter("epoch.completed"));
  return stored;
}

/** Acknowledges all pending events of a consumer, because their effects are already stored. */
async function passBy(bus: Bus, durable: string, filter: string): Promise<void> {
  const settings = { stream: EVENTS_STREAM, durable, filter, ackWaitMs: 60_000, maxAckPending: 20_000 };
  await ensureDurable(bus, settings);
  const next = `$JS.API.CONSUMER.MSG.NEXT.${EVENTS_STREAM}.${durable}`;
  for (let left = 1; left > 0;) {
    const inbox = createInbox();
    const messages = bus.connection.subscribe(inbox);
    bus.connection.publish(next, JSON.stringify({ batch: 2000, no_wait: true }), { reply: inbox });
    let seen = 0;
    for await (const message of messages) {
      // A message with only a status ends the batch.
      if (!message.reply) break;
      message.respond("+ACK");
      left = Number(message.reply.split(".").at(-1));
      if (++seen === 2000) break;
    }
    messages.unsubscribe();
    await bus.flush();
    if (seen === 0) break;
  }
  const what = { what: `consumer ${durable}` };
  const info = await api(bus, what, ({ consumers }) => consumers.info(EVENTS_STREAM, durable));
  if (info.num_pending + info.num_ack_pending > 0)
    throw new LatheError("INTERNAL", `consumer ${durable} has ${info.num_pending + info.num_ack_pending} events left`);
}
