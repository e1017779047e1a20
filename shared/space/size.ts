import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { initialArchitecture } from "./groups";
import { liveStages } from "./live";

/**
 * log10 of the number of choices that are left (method.md section 2), in log space since the paper's space overflows a double:
 *
 *     size = prod over stages of  sum over surviving depths d of  prod over blocks b <= d of  size of block b
 *     size of block = |operations| * prod over surviving operations o of |output widths of o| * |middle widths of o|
 *
 * Width groups of every surviving candidate count, as the supernet holds them, whether or not their candidate is chosen: it is
 * the paper's way of counting, and an upper bound on the number of distinct networks. 0 when everything is decided.
 */
export function log10Size(space: SearchSpace, architecture: Architecture = initialArchitecture(space)): number {
  return liveStages(space, architecture).reduce((total, { exits, blocks }) => {
    // reached[d] = log10 of the choices of blocks 1..d.
    const reached = [0];
    for (const { choice, operations } of blocks) {
      let size = Math.log10(choice.survivors.length);
      for (const { output, middle } of operations) {
        size += Math.log10(output.survivors.length);
        size += Math.log10(middle.survivors.length);
      }
      reached.push((reached.at(-1) ?? 0) + size);
    }
    return total + logSum10(exits.map((exit) => reached[exit] ?? 0));
  }, 0);
}

/** log10 of a sum of powers of ten. */
function logSum10(exponents: number[]): number {
  const top = Math.max(...exponents);
  return top + Math.log10(exponents.reduce((sum, exponent) => sum + 10 ** (exponent - top), 0));
}

/** "2.78e324" for 324.444: mantissa of three digits and exponent, for numbers beyond a double. */
export function formatLog10(log10: number): string {
  let exponent = Math.floor(log10);
  let mantissa = (10 ** (log10 - exponent)).toFixed(2);
  if (mantissa === "10.00") {
    mantissa = "1.00";
    exponent += 1;
  }
  return `${mantissa}e${exponent}`;
}
