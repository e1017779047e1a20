import { concat, expand, gather, reshape } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { split } from "../emit";
import { upTo } from "../../signature";
import { transposedSquares } from "../product";
import { convolutions, squares, tapsOf, type Convolution, type Kernel, type MixturePlan } from "./plan";

/** Filters of the convolutions of each layer, by branch: [outputs, inputs, rows, columns]. */
type Filters = Record<1 | 2, Value[]>;

/**
 * The filters of a list of convolutions, from squares in the order of the list. Neighbours with equal numbers of inputs and taps are split
 * together.
 */
export function splitFilters(r: Recorder, filters: Value, list: readonly Convolution[]): Filters {
  const runs: Convolution[][] = [];
  for (const each of list) {
    const [neighbour] = runs.at(-1) ?? [];
    if (neighbour?.layer === each.layer && neighbour.inputs === each.inputs && isSame(neighbour.kernel, each.kernel))
      runs.at(-1)?.push(each);
    else runs.push([each]);
  }
  const outputsOf = (run: readonly Convolution[]) => run.reduce((sum, { outputs }) => sum + outputs, 0);
  const sizes = runs.map((run) => run.reduce((sum, one) => sum + one.outputs * one.inputs * tapsOf(one.kernel), 0));
  const parts = split(r, reshape(r, filters, [sizes.reduce((sum, size) => sum + size, 0)]), sizes);
  const result: Filters = { 1: [], 2: [] };
  runs.forEach((run, at) => {
    const [{ layer, inputs, kernel }] = run as [Convolution];
    const whole = reshape(r, parts[at] as Value, [outputsOf(run), inputs, ...kernel]);
    split(
      r,
      whole,
      run.map(({ outputs }) => outputs),
    ).forEach((filter, index) => {
      result[layer][run[index]?.branch ?? 0] = filter;
    });
  });
  return result;
}

const isSame = (a: Kernel, b: Kernel): boolean => a.join() === b.join();

/**
 * For each weight of each square, gamma*r of its output channel: [squares, tile, tile]. Whole squares are gathered, because a product that
 * broadcasts over the rows of a tile is several times slower than a product of equal shapes.
 */
export function tileScales(r: Recorder, plan: MixturePlan, scale1: Value, scale2: Value): Value {
  const { tile } = plan;
  const list = convolutions(plan);
  // First tile of each convolution's channels: first all middles, then all outputs, by branch.
  const starts = new Map<string, number>();
  let next = 0;
  for (const layer of [1, 2] as const)
    plan.branches.forEach(({ middle, output }, branch) => {
      starts.set(`${branch}/${layer}`, next);
      next += (layer === 1 ? middle : output) / tile;
    });
  const rows = expand(r, reshape(r, concat(r, [scale1, scale2], 0), [next, 1, tile]), [next, tile, tile]);
  const taken = squares(plan).map(({ convolution: at, outputTile }) => {
    const { branch, layer } = list[at] as (typeof list)[number];
    return (starts.get(`${branch}/${layer}`) as number) + outputTile;
  });
  return gather(r, rows, taken);
}

/** Filters of the input gradients: squares transposed, taps reversed, input and output tiles exchanged. */
export function transposedFilters(r: Recorder, plan: MixturePlan, scaled: Value): Filters {
  const { tile } = plan;
  const list = convolutions(plan);
  const turned = transposedSquares(r, scaled);
  let first = 0;
  const back = list
    .map(({ branch, layer, kernel, inputs, outputs }) => {
      const start = first;
      first += (inputs / tile) * (outputs / tile) * tapsOf(kernel);
      return { branch, layer, kernel, inputs: outputs, outputs: inputs, start };
    })
    .sort((a, b) => a.layer - b.layer || a.inputs - b.inputs);
  const order = back.flatMap(({ inputs, outputs, kernel, start }) => {
    const [to, from, taps] = [inputs / tile, outputs / tile, tapsOf(kernel)];
    return upTo(from * to * taps).map((at) => {
      const [inputTile, outputTile, tap] = [Math.floor(at / (to * taps)), Math.floor(at / taps) % to, at % taps];
      return start + (outputTile * from + inputTile) * taps + (taps - 1 - tap);
    });
  });
  return splitFilters(r, gather(r, turned, order), back);
}
