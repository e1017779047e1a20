import { TILE } from "../../shared/engine/rewrites/widths";
import type { SearchSpace, Stage } from "../../shared/proto/lathe/v1/space";

/** The bounds at which a stage's blocks are measured, ascending. */
interface StageBounds {
  /** The bounds of the widths that enter a block. Those of outputs are among them. */
  inputs: number[];
  outputs: number[];
}

/**
 * The bounds of each stage. From one tile of channels on, convolutions compute whole tiles, so a width takes the time of the next multiple
 * of the tile, at most that of all channels. Narrower ones take times of their own, some above that of a whole tile.
 * Between two blocks the rewrites fill up the tiles of the export (padWidths), and a stage of one such tile has one width there.
 */
export function stageBounds({ stages }: SearchSpace, tile: number): StageBounds[] {
  const padded = Math.max(tile, TILE);
  return stages.map(({ channels, widths }, index) => {
    const before = stages[index - 1];
    const entering = before ? before.widths.map((width) => channels - before.channels + width) : [channels];
    const between = (width: number) => (channels <= padded ? channels : boundOf(width, channels, padded));
    return { inputs: ascending([...entering, ...widths].map(between)), outputs: ascending(widths.map(between)) };
  });
}

/**
 * The bounds of the middle widths of a stage's blocks, ascending, for a kind whose middle has `expansion` channels per channel of its width: a middle
 * takes the time of its next whole tile.
 */
export function middleBounds(
  { channels, widths }: Pick<Stage, "channels" | "widths">,
  expansion: number,
  tile: number,
): number[] {
  const bound = (width: number) => boundOf(expansion * width, expansion * channels, tile) / expansion;
  return ascending(widths.map((width) => Math.floor(bound(width))));
}

const ascending = (bounds: readonly number[]): number[] => [...new Set(bounds)].sort((a, b) => a - b);

function boundOf(width: number, channels: number, tile: number): number {
  return width < tile ? width : Math.min(channels, Math.ceil(width / tile) * tile);
}
