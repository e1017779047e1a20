import { ScalarType, type DescField, type DescMessage } from "@bufbuild/protobuf";
import type { Random } from "../../shared/engine/random";
import { isMessage, type Entry, type Key, type Message, type Value } from "./message";
import { ofScalar, pick, randomBytes, randomValue } from "./values";

/** Each field of a message is set with this probability. */
const SET = 0.7;

/** A random message of a type. */
export function randomMessage(type: DescMessage, random: Random, known: readonly string[]): Message {
  const entries = type.fields
    .filter(() => random.next() < SET)
    .flatMap((field) => Array.from({ length: occurrences(field, random) }, () => randomEntry(field, random, known)));
  return { type, entries: random.integer(8) === 0 ? random.shuffle(entries) : entries };
}

/** A list has up to three entries; of numbers and texts sometimes thousands. A field that is no list is sometimes there twice. */
function occurrences(field: DescField, random: Random): number {
  if (field.fieldKind !== "list" && field.fieldKind !== "map") return random.integer(20) === 0 ? 2 : 1;
  if (field.message || random.integer(16) > 0) return 1 + random.integer(3);
  return 2 ** random.integer(field.scalar === ScalarType.STRING ? 8 : 13);
}

function randomEntry(field: DescField, random: Random, known: readonly string[]): Entry {
  const value: Value = field.message ? randomMessage(field.message, random, known) : randomValue(field, random, known);
  return field.fieldKind === "map"
    ? { field, key: ofScalar(field.mapKey, random, known) as Key, value }
    : { field, value };
}

/** A message with one to three random edits, each in a random message within it. */
export function mutated(message: Message, random: Random, known: readonly string[]): Message {
  const copy = copyOf(message);
  for (let edits = 1 + random.integer(3); edits > 0; edits--) edit(within(copy, random), random, known);
  return copy;
}

function copyOf({ type, entries }: Message): Message {
  return {
    type,
    entries: entries.map((entry) => ({ ...entry, value: isMessage(entry.value) ? copyOf(entry.value) : entry.value })),
  };
}

/** The message or one in it. Each step down chooses the field first, so that a long list hides no other field. */
function within(message: Message, random: Random): Message {
  const nested = message.entries.filter(({ value }) => isMessage(value));
  if (nested.length === 0 || random.integer(3) === 0) return message;
  return within(chosen(nested, random).value as Message, random);
}

function chosen(entries: readonly Entry[], random: Random): Entry {
  const field = pick(random, [...new Set(entries.map((entry) => entry.field))]);
  return pick(
    random,
    entries.filter((entry) => entry.field === field),
  );
}

function edit({ type, entries }: Message, random: Random, known: readonly string[]): void {
  if (type.fields.length === 0) return;
  const insert = () =>
    void entries.splice(random.integer(entries.length + 1), 0, randomEntry(pick(random, type.fields), random, known));
  if (entries.length === 0) return insert();
  const entry = chosen(entries, random);
  const at = entries.indexOf(entry);
  switch (random.integer(6)) {
    case 0:
      return insert();
    case 1:
      return void entries.splice(at, 1);
    case 2: {
      const times = random.integer(8) === 0 ? 2 ** random.integer(10) : 1;
      return void entries.splice(at, 0, ...Array.from({ length: times }, () => entry));
    }
    case 3:
      return void random.shuffle(entries);
    default:
      entries[at] = randomEntry(entry.field, random, known);
  }
}

/** The first bytes of a message, at least one byte short. */
export function truncated(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.subarray(0, random.integer(Math.max(1, bytes.length)));
}

/** Bytes with one to eight of them changed. */
export function flipped(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (let flips = 1 + random.integer(8); copy.length > 0 && flips > 0; flips--)
    copy[random.integer(copy.length)]! ^= 1 + random.integer(255);
  return copy;
}

export const noise = (random: Random): Uint8Array => randomBytes(random, random.integer(2 ** random.integer(11)));
