import type { DatasetInfo } from "../dataset";

/** Classes of the scenes in label order. */
const CLASSES = [
  { name: "sky", color: [70, 130, 180] },
  { name: "building", color: [128, 64, 48] },
  { name: "road", color: [128, 64, 128] },
  { name: "pavement", color: [244, 35, 232] },
  { name: "grass", color: [152, 251, 152] },
  { name: "tree", color: [107, 142, 35] },
  { name: "fence", color: [190, 153, 153] },
  { name: "pole", color: [192, 192, 128] },
  { name: "sign", color: [250, 170, 30] },
  { name: "car", color: [0, 0, 142] },
  { name: "pedestrian", color: [220, 20, 60] },
] as const satisfies readonly { name: string; color: readonly [number, number, number] }[];

/** Procedural street scenes: examples are drawn from (seed, split, index), with the same pixels on every machine. */
export const streetsInfo: DatasetInfo = {
  kind: "streets",
  classes: CLASSES.map(({ name }) => name),
  colors: CLASSES.map(({ color }) => color),
};

export const SKY = 0;
export const BUILDING = 1;
export const ROAD = 2;
export const PAVEMENT = 3;
export const GRASS = 4;
export const TREE = 5;
export const FENCE = 6;
export const POLE = 7;
export const SIGN = 8;
export const CAR = 9;
export const PEDESTRIAN = 10;

/** A shader returns this at holes of its surface. */
export const HOLE = 255;
