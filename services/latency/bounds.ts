import type { SearchSpace } from "../../shared/proto/lathe/v1/space";

/** The bounds at which a stage's blocks are measured, ascending. */
interface StageBounds {
  /** The bounds of the widths that enter a block. */
  inputs: number[];
  /** The bounds of the middle and output widths. */
  widths: number[];
}

/**
 * The bounds of each stage. From one tile of channels on, convolutions compute whole tiles, so a width takes the time of the next multiple
 * of the tile, at most that of all channels. Narrower ones take times of their own, some above that of a whole tile.
 */
export function stageBounds({ stages }: SearchSpace, tile: number): StageBounds[] {
  return stages.map(({ channels, widths }, index) => {
    const before = stages[index - 1];
    const entering = before ? before.widths.map((width) => channels - before.channels + width) : [channels];
    const bounds = (of: readonly number[]) =>
      [...new Set(of.map((width) => boundOf(width, channels, tile)))].sort((a, b) => a - b);
    return { inputs: bounds([...entering, ...widths]), widths: bounds(widths) };
  });
}

function boundOf(width: number, channels: number, tile: number): number {
  return width < tile ? width : Math.min(channels, Math.ceil(width / tile) * tile);
}
