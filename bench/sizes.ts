import { LatheError } from "../shared/process/errors";
import type { SearchSpace, Stage } from "../shared/proto/lathe/v1/space";

/** The sizes of benchmarks of a supernet: a space of 2 + 3 blocks without depth search, with 10 operations and 9 widths. */
export const SIZES = {
  S: { batchSize: 8, height: 64, width: 128, channels: [32, 64] },
  L: { batchSize: 4, height: 128, width: 256, channels: [64, 128] },
} as const;

export type Size = keyof typeof SIZES;

export const CLASSES = 8;

/** The space of a size. */
export function spaceOf(size: Size): SearchSpace {
  const { height, width, channels } = SIZES[size];
  return {
    inputHeight: height,
    inputWidth: width,
    classes: CLASSES,
    stemChannels: channels[0] / 4,
    stages: [stage(channels[0], 2), stage(channels[1], 3)],
    dilations: [1, 2, 4, 8, 16],
    scales: [1, 2],
    kinds: [],
  };
}

function stage(channels: number, depth: number): Stage {
  const widths = Array.from({ length: 9 }, (_, index) => channels / 2 + (index * channels) / 16);
  return { channels, minDepth: depth, maxDepth: depth, widths, dropout: 0 };
}

/** The sizes that a command line names, or all; INVALID_ARGUMENT names an unknown one. */
export function sizesNamed(names: readonly string[]): Size[] {
  const unknown = names.find((name) => !(name in SIZES));
  if (unknown !== undefined) throw new LatheError("INVALID_ARGUMENT", `size "${unknown}" is unknown, must be S or L`);
  return (names.length > 0 ? names : Object.keys(SIZES)) as Size[];
}

/** Text on a size for the title of a measurement. */
export function sizeText(size: Size): string {
  const { batchSize, height, width, channels } = SIZES[size];
  return `size ${size}: batch ${batchSize}, ${height}x${width}, C ${channels.join("/")}, 5 blocks`;
}
