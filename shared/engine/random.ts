import { LatheError } from "../process/errors";

/** Seeded random numbers: xoshiro128** 1.1 (Blackman and Vigna, 2018), period 2^128 - 1. */
export interface Random {
  /** Uniform in [0, 1), a multiple of 2^-32. */
  next(): number;
  /** Uniform in 0..bound-1, without bias; bound is 1 to 2^32. */
  integer(bound: number): number;
  /** Standard normal, by Box and Muller. */
  normal(): number;
  /** Shuffles in place (Fisher and Yates) and returns the array. */
  shuffle<T>(array: T[]): T[];
}

/** The generator of a seed and a named stream. Streams with different names are independent. */
export function createRandom(seed: number, stream = ""): Random {
  return randomFrom(words(hash(`${seed}/${stream}`)));
}

/** The generator whose state is four 32-bit words, not all 0. */
export function randomFrom(state: readonly number[]): Random {
  let [s0, s1, s2, s3] = state as [number, number, number, number];
  const word = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = rotateLeft(s3, 11);
    return result;
  };
  const next = (): number => word() / 2 ** 32;
  const integer = (bound: number): number => {
    if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 32) {
      throw new LatheError(
        "INVALID_ARGUMENT",
        `random integer below ${bound}: the bound must be an integer from 1 to 2^32`,
      );
    }
    // Words beyond the last whole multiple of the bound are drawn again; otherwise small results would be more frequent.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let drawn = word();
    while (drawn >= limit) drawn = word();
    return drawn % bound;
  };
  return {
    next,
    integer,
    // 1 - next() is in (0, 1]: its logarithm is finite.
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle: (array) => {
      for (let i = array.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [array[i], array[j]] = [array[j] as (typeof array)[number], array[i] as (typeof array)[number]];
      }
      return array;
    },
  };
}

const rotateLeft = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
const mask64 = (1n << 64n) - 1n;

/** FNV-1a, 64 bit, of the UTF-8 bytes. */
function hash(text: string): bigint {
  return Buffer.from(text).reduce((h, byte) => ((h ^ BigInt(byte)) * 0x100000001b3n) & mask64, 0xcbf29ce484222325n);
}

/** Two outputs of SplitMix64, which the authors of xoshiro advise for seeding, as four words. */
function words(seed: bigint): number[] {
  let x = seed;
  return [0, 1].flatMap(() => {
    x = (x + 0x9e3779b97f4a7c15n) & mask64;
    let z = x;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask64;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask64;
    z ^= z >> 31n;
    return [Number(z & 0xffffffffn), Number(z >> 32n)];
  });
}
