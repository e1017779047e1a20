import { binary, concat, expand, gather, reshape, slice } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { affine, generalConvolution, shiftColumns, withChannels } from "../emit";
import { upTo } from "../../signature";
import { poolGradient } from "../maxPool";
import { movedRows, product, transposedSquares, turned } from "../product";
import { moveChannels, place, type ReductionActivations, type ReductionInputs } from "./forward";
import { emitNormGradient } from "./norm";
import { addedChannels, filledUp, inputShape, outputRows, outputShape, type ReductionPlan } from "./plan";

/** Derivatives of a reduction with respect to all its inputs. */
export function emitReductionGradient(
  r: Recorder,
  plan: ReductionPlan,
  inputs: Omit<ReductionInputs, "beta">,
  saved: ReductionActivations,
  dy: Value,
): ReductionInputs {
  const { gamma, beta, u, scale } = emitNormGradient(r, saved, inputs.gamma, dy, plan.epsilon);
  const convolved = withChannels(r, u, filledUp(plan).added);
  const scales = tileScales(r, plan, scale);
  const byConvolution = r.within("InputGradient", () =>
    convolutionGradient(r, plan, convolved, binary(r, "Mul", inputs.filters, scales)),
  );
  const image = reshape(r, inputs.x, inputShape(plan, filledUp(plan).input));
  const byPool = poolGradient(r, image, saved.pooled, pooledPart(r, plan, u, scale));
  return {
    x: binary(r, "Add", byConvolution, byPool),
    filters: r.within("WeightGradient", () =>
      binary(r, "Mul", filterGradient(r, plan, saved.columns, convolved), scales),
    ),
    gamma,
    beta,
  };
}

/** For each weight of each square, gamma*r of its output channel; 0 for channels that the convolution does not have. */
function tileScales(r: Recorder, plan: ReductionPlan, scale: Value): Value {
  const { tile, convolution } = plan;
  const { input, added } = filledUp(plan);
  const own = slice(r, scale, [0], [0], [added]);
  const kept =
    added === convolution ? own : binary(r, "Mul", own, r.constant(addedChannels(plan, added), [added], "float32"));
  const tiles = added / tile;
  const each = (9 * input) / tile;
  return reshape(r, expand(r, reshape(r, kept, [tiles, 1, tile]), [tiles, each * tile, tile]), [
    tiles * each,
    tile,
    tile,
  ]);
}

/** Derivative through the pooled input. */
function pooledPart(r: Recorder, plan: ReductionPlan, u: Value, scale: Value): Value {
  const { first, behind } = place(plan);
  const { input, output } = filledUp(plan);
  const last = slice(r, u, [1], [first], [output - first]);
  const scaled = affine(r, last, slice(r, scale, [0], [first], [output - first]));
  return behind === 0 ? scaled : moveChannels(r, plan, scaled, input, -behind);
}

/**
 * Derivative through the convolution's input. Output row y reads input rows 2y - 1 to 2y + 1. So only the filter's middle row reads an even
 * input row; an odd one is read by the last filter row for output y and by the first for y + 1. Columns likewise. Each of the four kinds of
 * positions is a separate convolution; the results are interleaved.
 */
function convolutionGradient(r: Recorder, plan: ReductionPlan, u: Value, scaled: Value): Value {
  const { tile, batch, width, height } = plan;
  const { input, added } = filledUp(plan);
  const [from, to] = [added / tile, input / tile];
  const squares = transposedSquares(r, scaled);
  // u, followed by u of the next column.
  const next = shiftColumns(r, reshape(r, u, outputRows(plan, added)), 2, 1, tile);
  const both = concat(r, [u, reshape(r, next, outputShape(plan, added))], 1);
  const kind = (odd: { row: 0 | 1; column: 0 | 1 }): Value => {
    const rows = odd.row === 1 ? [2, 0] : [1];
    const columns = odd.column === 1 ? [2, 0] : [1];
    const order = upTo(to).flatMap((inputTile) =>
      columns.flatMap((column) =>
        upTo(from).flatMap((outputTile) => rows.map((row) => ((outputTile * 3 + column) * to + inputTile) * 3 + row)),
      ),
    );
    const filter = reshape(r, gather(r, squares, order), [input, columns.length * added, rows.length, 1]);
    return generalConvolution(r, odd.column === 1 ? both : u, filter, outputShape(plan, input), {
      pads: [0, 0, odd.row, 0],
    });
  };
  const positions = (height / 2) * batch * (width / 2);
  const row = (odd: 0 | 1): Value => {
    const columns = ([0, 1] as const).map((column) =>
      reshape(r, kind({ row: odd, column }), [to * positions, 1, tile]),
    );
    return reshape(r, concat(r, columns, 1), [(to * height) / 2, 1, batch * width * tile]);
  };
  return reshape(r, concat(r, [row(0), row(1)], 1), inputShape(plan, input));
}

/** Derivative of the filters from u, as squares (weightGradient.ts). */
function filterGradient(r: Recorder, plan: ReductionPlan, columns: Value, u: Value): Value {
  const { tile, height } = plan;
  const { input, added } = filledUp(plan);
  const [from, to] = [input / tile, added / tile];
  const seen = movedRows(r, turned(r, columns, tile), [3 * from, height], 1, 2);
  const products = product(r, seen, u, tile);
  const all = reshape(r, products, [9 * from * to, tile * tile]);
  // Index of each square in a product ordered by column, input tile, row and output tile.
  const order = upTo(to).flatMap((outputTile) => upTo(9 * from).map((at) => at * to + outputTile));
  return reshape(r, to === 1 ? all : gather(r, all, order), [order.length, tile, tile]);
}
