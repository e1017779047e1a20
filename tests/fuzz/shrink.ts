import { decode, encode, isMessage, type Message } from "./message";
import type { Rpc } from "./rpcs";

/** Requests that a shrinking may try. */
const TRIES = 200;

/**
 * A smaller request with the same fault, which `fails` looks for. A message loses its fields one after the other, longer runs first; bytes
 * that are no message lose their end and their beginning.
 */
export async function shrink(
  { input }: Rpc,
  bytes: Uint8Array,
  fails: (bytes: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let tries = 0;
  const check = async (candidate: Uint8Array) => tries++ < TRIES && (await fails(candidate));
  const message = readable(input, bytes);
  if (message && (await check(encode(message)))) {
    await shrinkMessage(message, () => check(encode(message)));
    return encode(message);
  }
  return shrinkBytes(bytes, check);
}

function readable(input: Rpc["input"], bytes: Uint8Array): Message | undefined {
  try {
    return decode(input, bytes);
  } catch {
    // Truncated or random bytes.
    return undefined;
  }
}

async function shrinkMessage(message: Message, fails: () => Promise<boolean>): Promise<void> {
  for (let size = message.entries.length; size >= 1; size = Math.floor(size / 2))
    for (let at = 0; at + size <= message.entries.length;) {
      const removed = message.entries.splice(at, size);
      if (await fails()) continue;
      message.entries.splice(at, 0, ...removed);
      at += size;
    }
  for (const { value } of [...message.entries]) if (isMessage(value)) await shrinkMessage(value, fails);
}

async function shrinkBytes(bytes: Uint8Array, fails: (bytes: Uint8Array) => Promise<boolean>): Promise<Uint8Array> {
  let best = bytes;
  for (let size = Math.floor(best.length / 2); size >= 1; size = Math.floor(size / 2))
    for (const cut of [() => best.subarray(0, best.length - size), () => best.subarray(size)])
      while (best.length >= size && (await fails(cut()))) best = cut();
  return best;
}
