import { ScalarType, type DescField } from "@bufbuild/protobuf";
import type { Random } from "../../shared/engine/random";
import { PRESETS } from "../../shared/spec/bounds";
import type { Value } from "./message";

/** One of several values. */
export const pick = <T>(random: Random, values: readonly T[]): T => values[random.integer(values.length)]!;

const INT32 = [0, 1, -1, 2, 3, 4, 8, 32, 64, 100, 200, 8192, 8193, 65_536, 2 ** 31 - 1, -(2 ** 31)];
const UINT32 = [0, 1, 2, 7, 255, 256, 65_535, 2 ** 31, 2 ** 32 - 1];
const DOUBLES = [0, -0, 1, -1, 0.5, 1e-9, 5e-324, 1e6, 1e9, 1e308, 2 ** 53, NaN, Infinity, -Infinity];
const LONGS = [0n, 1n, 2n, 5n, 100n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n];
const TEXTS = [
  ...["", " ", "-", "0", "*", ">", ".", "..", "../..", "s-*", "a.b", "a/b", "/", ...PRESETS, "cpu"],
  ...["__proto__", "constructor", "toString", "null", "{}", "%s%n", "\u0000", "a\nb", "\u202e", "\u{1f600}", "\ufffd"],
  ...["/dev/zero", "/etc/passwd", "nats://127.0.0.1", "s-aaaaaaaaaaaa", "stage1/d1s1", "stage1/block1/width"],
];

function text(random: Random, known: readonly string[]): string {
  const kind = random.integer(10);
  if (kind < 4 && known.length > 0) return pick(random, known);
  if (kind < 8) return pick(random, TEXTS);
  const length = kind === 8 ? random.integer(80) : 2 ** random.integer(15);
  return pick(random, [...TEXTS.filter((one) => one !== ""), "x"])
    .repeat(length)
    .slice(0, length);
}

/** A random value of a field that is no message: often at an edge of its type, and of texts often one that is `known`. */
export function randomValue(field: DescField, random: Random, known: readonly string[]): Value {
  if (field.enum) return random.integer(4) > 0 ? pick(random, field.enum.values).number : pick(random, [99, -1]);
  return ofScalar(field.scalar!, random, known);
}

/** A random value of a scalar type. */
export function ofScalar(type: ScalarType, random: Random, known: readonly string[]): Value {
  const atEdge = random.integer(2) === 0;
  switch (type) {
    case ScalarType.INT32:
      return atEdge ? pick(random, INT32) : random.integer(2 ** random.integer(31));
    case ScalarType.UINT32:
      return atEdge ? pick(random, UINT32) : random.integer(2 ** random.integer(33));
    case ScalarType.INT64:
      return atEdge ? pick(random, [-(2n ** 63n), ...LONGS]) : BigInt(random.integer(300));
    case ScalarType.UINT64:
      return atEdge ? pick(random, [2n ** 64n - 1n, ...LONGS]) : BigInt(random.integer(300));
    case ScalarType.DOUBLE:
      return atEdge ? pick(random, DOUBLES) : random.normal() * 10 ** (random.integer(8) - 4);
    case ScalarType.BOOL:
      return random.integer(2) === 0;
    case ScalarType.STRING:
      return text(random, known);
    case ScalarType.BYTES:
      return randomBytes(random, random.integer(64));
    default:
      throw new Error(`the contract has a field of type ${ScalarType[type]}, which the fuzzer cannot draw`);
  }
}

export function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.integer(256)));
}
