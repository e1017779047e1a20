import { basename, join, parse } from "node:path";
import { clip, datasetFault, type DatasetInfo } from "../dataset";
import { exists, listNames, requireFolder } from "../reading";
import { plainLabelMap, readLines, type Layout, type Pair } from "./layout";

const MAX_CLASSES = 254;

/**
 * A custom data set: classes.txt ("name" or "name r g b" per line), and train/ and validation/ (or val/), each with images/ and labels/.
 * Files of the same stem are a pair. A label pixel is a class index; 255 is ignored.
 */
export async function folderLayout(path: string): Promise<Layout> {
  await requireFolder(path, "dataset folder");
  const info = await readClasses(join(path, "classes.txt"));
  const validation = (await exists(join(path, "validation"))) ? "validation" : "val";
  return {
    info,
    train: await pairByStem(join(path, "train")),
    validation: await pairByStem(join(path, validation)),
    labelMap: plainLabelMap(info.classes.length),
  };
}

async function readClasses(path: string): Promise<DatasetInfo> {
  const lines = await readLines(path);
  if (lines.length < 2 || lines.length > MAX_CLASSES) {
    throw datasetFault(`${path} names ${lines.length} classes, must be 2 to ${MAX_CLASSES}`);
  }
  const classes: string[] = [];
  const colors: [number, number, number][] = [];
  for (const { text, number } of lines) {
    const match = /^(.*?)(?:\s+(\d+)\s+(\d+)\s+(\d+))?$/.exec(text);
    const color = match?.[2] === undefined ? colorOf(classes.length) : match.slice(2, 5).map(Number);
    const name = match?.[1] ?? text;
    if (color.some((part) => part > 255))
      throw datasetFault(`${path} line ${number} is "${clip(text)}", colours end at 255`);
    if (classes.includes(name)) throw datasetFault(`${path} line ${number} repeats the class "${clip(name)}"`);
    classes.push(name);
    colors.push(color as [number, number, number]);
  }
  return { kind: "folder", classes, colors };
}

/** Distinct colours for any number of classes: the bits of the index, lowest first, are distributed over the colour bytes from the top. */
function colorOf(index: number): [number, number, number] {
  const color: [number, number, number] = [0, 0, 0];
  for (let bits = index + 1, place = 7; bits > 0; bits >>= 3, place--) {
    color[0] |= (bits & 1) << place;
    color[1] |= ((bits >> 1) & 1) << place;
    color[2] |= ((bits >> 2) & 1) << place;
  }
  return color;
}

async function pairByStem(split: string): Promise<Pair[]> {
  const images = await listNames(join(split, "images"));
  const labels = new Map<string, string>();
  for (const name of await listNames(join(split, "labels"))) labels.set(parse(name).name, name);
  const seen = new Set<string>();
  const pairs = images.map((image) => {
    const stem = parse(image).name;
    const label = labels.get(stem);
    if (label === undefined) throw datasetFault(`image ${join(split, "images", image)} has no label ${stem}.png`);
    if (seen.has(stem)) throw datasetFault(`${join(split, "images")} has two images named ${stem}`);
    seen.add(stem);
    return { image: join(split, "images", image), label: join(split, "labels", label) };
  });
  const orphan = [...labels.keys()].find((stem) => !seen.has(stem));
  if (orphan !== undefined) {
    throw datasetFault(`label ${join(split, "labels", labels.get(orphan) ?? orphan)} has no image named ${orphan}`);
  }
  if (pairs.length === 0) throw datasetFault(`${basename(split)} split ${join(split, "images")} is empty`);
  return pairs;
}
