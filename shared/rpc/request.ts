import { setImmediate } from "node:timers/promises";
import { LatheError } from "../process/errors";
import { maxRequestBytes } from "./bounds";
import { Check } from "./check";
import { requestOf, type Message } from "./wire";

/** Bytes of a list that are checked and decoded at once. Between the steps of a larger request other calls have their turn. */
const PART_BYTES = 32 * 1024;

/** A turn of the event loop between two steps of a large request; nothing for a small one. */
export async function turnOf(bytes: Buffer): Promise<void> {
  if (bytes.length > PART_BYTES) await setImmediate();
}

/**
 * A function that decodes a request of a method. It checks the bytes first, so that time and memory are bounded however they were made.
 * RESOURCE_EXHAUSTED (REQUEST_TOO_LARGE) beyond the method's bytes; INVALID_ARGUMENT with each field that is out of its bounds
 * (INVALID_REQUEST), or with the place of bytes that are no such message (UNREADABLE_REQUEST).
 */
export function requestReader<T>(path: string, decode: (bytes: Buffer) => T): (bytes: Buffer) => Promise<T> {
  const max = maxRequestBytes(path);
  let message: Message | undefined;
  return async (bytes) => {
    if (bytes.length > max) {
      const text = `the request has ${bytes.length} bytes, ${path.split("/")[2]} takes at most ${max}`;
      throw new LatheError("RESOURCE_EXHAUSTED", text, { reason: "REQUEST_TOO_LARGE" });
    }
    const check = new Check(bytes, (message ??= requestOf(path)));
    let request: T | undefined;
    for (let from = -1; from < bytes.length; from = check.position) {
      const begin = check.position;
      const clean = check.advance(PART_BYTES);
      await turnOf(bytes);
      if (clean) request = joined(request, decode(bytes.subarray(begin, check.position)));
      await turnOf(bytes);
    }
    check.refuse();
    return request as T;
  };
}

/** A message and one more part of it, as if both had been decoded at once: lists follow each other, and a part without a field leaves it. */
function joined<T>(message: T | undefined, part: T): T {
  if (message === undefined) return part;
  const into = message as Record<string, unknown>;
  for (const [name, value] of Object.entries(part as Record<string, unknown>)) {
    const before = into[name];
    if (Array.isArray(value) && Array.isArray(before)) for (const entry of value as unknown[]) before.push(entry);
    else if (isSet(value) || before === undefined) into[name] = value;
  }
  return message;
}

/** Whether a field has another value than a message without it: bytes are there even then, without a byte. */
const isSet = (value: unknown): boolean => (value instanceof Uint8Array ? value.length > 0 : Boolean(value));
