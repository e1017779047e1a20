import type { DatasetInfo } from "../dataset";
import { CLASSES } from "./classes";

/** Scenes per split when none are asked for: enough that a small network does not learn them by heart. */
export const DEFAULT_SCENES = { train: 512, validation: 128 } as const;

/** Procedural street scenes: examples are drawn from (seed, split, index), the same pixels on every machine. */
export const streetsInfo: DatasetInfo = {
  kind: "streets",
  classes: CLASSES.map(({ name }) => name),
  colors: CLASSES.map(({ color }) => color),
};
