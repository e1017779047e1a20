import { binary, expand, reshape } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, split } from "../emit";
import type { Branch, MixturePlan } from "./plan";

/**
 * Returns a function that multiplies a value with the output channels of a branch by the branch's factors of channel dropout. dropout:
 * factors of each image, flat, as [channels / tile, N, tile] per branch.
 */
export function dropping(r: Recorder, plan: MixturePlan, dropout: Value): (x: Value, branch: number) => Value {
  const { tile, batch, height, width, branches } = plan;
  const factors = split(
    r,
    dropout,
    branches.map(({ output }) => output * batch),
  );
  return (x, branch) => {
    const { scale } = branches[branch] as Branch;
    const columns = width / scale;
    const tiles = channelsOf(x) / tile;
    const own = reshape(r, factors[branch] as Value, [tiles, batch, 1, tile]);
    // A row of all images, because a product that broadcasts over the columns is several times slower than one over whole rows.
    const row = reshape(r, expand(r, own, [tiles, batch, columns, tile]), [tiles, 1, batch * columns * tile]);
    const rows = reshape(r, x, [tiles, height / scale, batch * columns * tile]);
    return reshape(r, binary(r, "Mul", rows, row), x.shape);
  };
}
