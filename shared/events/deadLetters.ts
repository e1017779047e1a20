import { DeadLetter } from "../proto/lathe/v1/search";
import type { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { deleteMessage, readMessage, store, type StoredMessage } from "./jetstream";
import type { DurableSettings } from "./pull";
import { ALL_DEAD_LETTERS, DEAD_LETTERS_STREAM, deadLetterSubject, searchOf } from "./subjects";

/** A dead letter keeps this many bytes of its message. */
const MAX_KEPT_BYTES = 64 * 1024;
const MAX_TEXT = 2_000;

/** A message that its consumer cannot handle, and why. */
interface Undeliverable {
  consumer: Pick<DurableSettings, "stream" | "durable">;
  message: Pick<StoredMessage, "subject" | "sequence" | "data">;
  error: LatheError;
  attempts: number;
}

/** Stores a message among the dead letters, once however often it is called. */
export async function bury(bus: Bus, { consumer, message, error, attempts }: Undeliverable): Promise<void> {
  const { stream, durable } = consumer;
  const { subject, sequence, data } = message;
  const letter = DeadLetter.fromPartial({
    time: new Date(),
    stream,
    messageSequence: sequence,
    subject: subject.slice(0, MAX_TEXT),
    consumer: durable,
    searchId: searchOf(subject) ?? "",
    reason: error.reason,
    message: error.message.slice(0, MAX_TEXT),
    attempts,
    sizeBytes: data.length,
    data: Buffer.from(data.subarray(0, MAX_KEPT_BYTES)),
  });
  const where = `${subject}#${sequence}`;
  const { duplicate } = await store(bus, deadLetterSubject(stream), encode(letter), {
    what: `dead letter of ${where}`,
    msgId: `${stream}:${sequence}`,
  });
  if (duplicate) return;
  bus.counters.deadLetters++;
  bus.logger.error("message moved to the dead letters", { consumer: durable, where, attempts, error });
}

/** The dead letters from a sequence on, oldest first, at most `limit`. */
export async function deadLetters(bus: Bus, fromSequence: number, limit: number): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = [];
  for (let seq = Math.max(1, fromSequence); letters.length < limit;) {
    const query = { seq, next_by_subj: ALL_DEAD_LETTERS };
    const message = await readMessage(bus, DEAD_LETTERS_STREAM, query, { what: "dead letters" });
    if (!message) break;
    letters.push(decode(message));
    seq = message.sequence + 1;
  }
  return letters;
}

/** One dead letter; undefined where there is none of this sequence. */
export async function deadLetter(bus: Bus, sequence: number): Promise<DeadLetter | undefined> {
  const message = await readMessage(bus, DEAD_LETTERS_STREAM, { seq: sequence }, { what: `dead letter ${sequence}` });
  return message && decode(message);
}

export const dropDeadLetter = (bus: Bus, sequence: number) => deleteMessage(bus, DEAD_LETTERS_STREAM, sequence);

const encode = (letter: DeadLetter) => Buffer.from(JSON.stringify(DeadLetter.toJSON(letter)));

/** Never throws: a message that is no dead letter is shown as one that cannot be read. */
function decode({ sequence, subject, data }: StoredMessage): DeadLetter {
  try {
    return { ...DeadLetter.fromJSON(JSON.parse(Buffer.from(data).toString("utf8"))), sequence };
  } catch {
    const about = { stream: DEAD_LETTERS_STREAM, messageSequence: sequence, reason: "ENVELOPE_MALFORMED" };
    return DeadLetter.fromPartial({ ...about, sequence, subject, sizeBytes: data.length, data: Buffer.from(data) });
  }
}
