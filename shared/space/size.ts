import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import {
  deepest,
  depthId,
  depthOf,
  group,
  indexGroups,
  initialArchitecture,
  middleId,
  operationId,
  operations,
  outputId,
} from "./groups";

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
  const groups = indexGroups(architecture);
  const names = operations(space).map((operation) => operation.name);
  let total = 0;
  space.stages.forEach((_, index) => {
    const stage = index + 1;
    // reached[d] = log10 of the choices of blocks 1..d.
    const reached = [0];
    for (let block = 1; block <= deepest(space, architecture, stage); block++) {
      const survivors = group(groups, operationId(stage, block)).survivors;
      let size = Math.log10(survivors.length);
      for (const candidate of survivors) {
        const name = names[candidate] ?? "";
        size += Math.log10(group(groups, outputId(stage, block, name)).survivors.length);
        size += Math.log10(group(groups, middleId(stage, block, name)).survivors.length);
      }
      reached.push((reached[block - 1] ?? 0) + size);
    }
    const exits = group(groups, depthId(stage)).survivors.map(
      (candidate) => reached[depthOf(space, stage, candidate)] ?? 0,
    );
    total += logSum10(exits);
  });
  return total;
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
