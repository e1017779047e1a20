import type { Counts } from "../coverage";
import type { Decoded } from "./decodedFolder";

/** The numbers of pixels by label, of pixels of unlisted colours, and 1 where labels were read by value: each in float64. */
const NUMBERS = 256 + 2;
export const COUNTS_BYTES = 8 * NUMBERS;

/** Counts in the form in which the folder of decoded files keeps them. */
export function packCounts({ pixels, unlisted, byValue }: Counts): Decoded {
  const data = new Uint8Array(Float64Array.from([...pixels, unlisted, Number(byValue)]).buffer);
  return { numbers: [0, 0, 0, 0], data };
}

/** The counts of packCounts. */
export function unpackCounts({ data }: Decoded): Counts {
  const numbers = [...new Float64Array(data.slice().buffer)];
  return { pixels: numbers.slice(0, 256), unlisted: numbers[256]!, byValue: numbers[257] === 1 };
}
