import { classesOf, type Classes, type LabelCoding } from "./coding";
import { datasetFault } from "./dataset";
import { decodeLabel, resizeIndices, type DecodedImage, type Size } from "./images";
import type { Pair } from "./layouts/layout";

/** Class indices [height, width] at the data set's size. */
export interface Label extends Classes {
  /** Size of the file. */
  readonly stored: Size;
}

/** Decodes a label, maps its pixels to classes and resizes it. Errors are DATASET_INVALID and name the file. */
export async function loadLabel(path: string, size: Size, coding: LabelCoding, read?: Buffer): Promise<Label> {
  const label = await decodeLabel(path, read);
  const { height, width } = label;
  const classes = classesOf(label, coding, path);
  const data = resizeIndices({ data: classes.data, height, width }, size);
  return { ...classes, data, stored: { height, width } };
}

/** Throws DATASET_INVALID unless an image, as it is displayed, and its label have the same size. */
export function checkPair(
  pair: Pair,
  { stored: image, orientation }: Omit<DecodedImage, "data">,
  { stored: label }: Pick<Label, "stored">,
): void {
  if (label.height === image.height && label.width === image.width) return;
  const turned = orientation > 1 ? `, as its EXIF orientation ${orientation} displays it` : "";
  throw datasetFault(
    `label ${pair.label} is ${label.width}x${label.height}, its image ${pair.image} is ${image.width}x${image.height}${turned}: sizes must be equal`,
  );
}
