/**
 * Randomness of the scenes. Pixels must be the same on every machine, so it uses integer arithmetic and + - * / only: the last bit of other
 * Math functions depends on the platform. It is independent of the engine's generator, whose draws may change.
 */

const { floor, imul } = Math; // looked up once: noise is the hottest code of a scene

/** Bijective 32-bit mixing (multiply, xor-shift). */
function mix(value: number): number {
  let h = value | 0;
  h = imul(h ^ (h >>> 16), 0x7feb352d);
  h = imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Hash of a lattice point, 0..2^32-1. */
export function lattice(x: number, y: number, seed: number): number {
  let h = imul(x, 0x9e3779b1) ^ imul(y, 0x85ebca77) ^ seed;
  h = imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = imul(h ^ (h >>> 13), 0x297a2d39);
  return (h ^ (h >>> 16)) >>> 0;
}

const UNIT = 1 / 4294967296;

/** Uniform 0..1 of a lattice point. */
export function speck(x: number, y: number, seed: number): number {
  return lattice(x, y, seed) * UNIT;
}

/** Smooth noise 0..1 with one feature per unit: lattice values, bilinear over smoothed fractions. */
export function noise(x: number, y: number, seed: number): number {
  const x0 = floor(x);
  const y0 = floor(y);
  let fx = x - x0;
  let fy = y - y0;
  fx = fx * fx * (3 - 2 * fx);
  fy = fy * fy * (3 - 2 * fy);
  const a = lattice(x0, y0, seed);
  const b = lattice(x0 + 1, y0, seed);
  const c = lattice(x0, y0 + 1, seed);
  const d = lattice(x0 + 1, y0 + 1, seed);
  const top = a + (b - a) * fx;
  return (top + (c + (d - c) * fx - top) * fy) * UNIT;
}

/** A stream of draws for one scene. */
export class Draws {
  private count = 0;

  private constructor(
    private readonly low: number,
    private readonly high: number,
  ) {}

  /** Keys differ for every index and split of a seed: mix is a bijection of the index, and the split is a bit of its own. */
  static ofScene(seed: number, split: "train" | "validation", index: number): Draws {
    const low = mix(seed % 4294967296);
    const high = mix(floor(seed / 4294967296) ^ low);
    return new Draws(mix(index ^ low), ((high << 1) | (split === "train" ? 0 : 1)) >>> 0);
  }

  /** Uniform 0..1. */
  next(): number {
    return speck(this.count++, this.high, this.low);
  }

  /** A seed for noise. */
  seed(): number {
    return lattice(this.count++, this.high, this.low);
  }

  range(from: number, to: number): number {
    return from + (to - from) * this.next();
  }

  /** Whole number in 0..n-1. */
  integer(n: number): number {
    return floor(this.next() * n);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(choices.length)]!;
  }
}
