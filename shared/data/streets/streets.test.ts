import { createHash } from "node:crypto";
import { streetsInfo } from "./classes";
import { Draws } from "./draws";
import { drawScene } from "./scene";
import type { Example } from "../dataset";

const size = { height: 64, width: 128 };
const classes = streetsInfo.classes.length;
const hash = ({ image, label }: Example) => createHash("sha256").update(image).update(label).digest("hex").slice(0, 16);
const scenes = (split: "train" | "validation", count: number) =>
  Array.from({ length: count }, (_, index) => drawScene(size, 1, split, index));

describe("streets", () => {
  const train = scenes("train", 40);
  const validation = scenes("validation", 16);

  it("draws the same bytes on every machine", () => {
    expect(hash(drawScene(size, 1, "train", 3))).toBe("b60858169b801db1");
    expect(hash(drawScene({ height: 200, width: 400 }, 2 ** 40 + 7, "validation", 11))).toBe("1f3a61b92a603606");
  });

  it("draws another scene for another index, split or seed", () => {
    const all = [...train, ...validation, drawScene(size, 2, "train", 0), drawScene(size, 2 ** 32 + 1, "train", 0)];
    expect(new Set(all.map(hash)).size).toBe(all.length);
  });

  it("keeps the draws of the splits apart for every index", () => {
    const keys = new Set<string>();
    for (const split of ["train", "validation"] as const) {
      for (let index = 0; index < 2000; index++) {
        const draws = Draws.ofScene(42, split, index);
        keys.add(`${draws.seed()}/${draws.seed()}`);
      }
    }
    expect(keys.size).toBe(4000);
  });

  it("labels every pixel, and has every class at its expected share", () => {
    const counts = new Array<number>(classes).fill(0);
    const scenesWith = new Array<number>(classes).fill(0);
    for (const { label } of train) {
      for (const value of label) counts[value]! += 1;
      for (const value of new Set(label)) scenesWith[value]! += 1;
    }
    const total = train.length * size.height * size.width;
    expect(counts.slice(0, classes).reduce((sum, count) => sum + count)).toBe(total);
    const share = Object.fromEntries(streetsInfo.classes.map((name, i) => [name, counts[i]! / total]));
    for (const name of streetsInfo.classes) expect([name, share[name]! > 0.007]).toEqual([name, true]);
    expect(share.road).toBeLessThan(0.45);
    const common = ["sky", "building", "road", "pavement", "pole", "car", "pedestrian"];
    for (const name of common) {
      expect(scenesWith[streetsInfo.classes.indexOf(name)]!).toBeGreaterThan(0.8 * train.length);
    }
  });

  it("is drawn at any size", () => {
    for (const odd of [
      { height: 8, width: 8 },
      { height: 37, width: 91 },
      { height: 240, width: 180 },
    ]) {
      const { image, label } = drawScene(odd, 3, "train", 0);
      expect([image.length, label.length]).toEqual([odd.height * odd.width * 3, odd.height * odd.width]);
      expect(label.reduce((most, value) => (value > most ? value : most), 0)).toBeLessThan(classes);
    }
  });

  it("is not solved by colour: the nearest mean colour of a class hardly finds any pixel", () => {
    const sums = Array.from({ length: classes }, () => [0, 0, 0, 0] as [number, number, number, number]);
    for (const { image, label } of train) {
      label.forEach((value, at) => {
        const sum = sums[value]!;
        sum[3] += 1;
        for (let c = 0; c < 3; c++) sum[c]! += image[3 * at + c]!;
      });
    }
    const means = sums.map((sum) => sum.map((part) => part / sum[3]));
    const hits = new Array<number>(classes).fill(0);
    const unions = new Array<number>(classes).fill(0);
    for (const { image, label } of validation) {
      label.forEach((value, at) => {
        const [r, g, b] = [image[3 * at]!, image[3 * at + 1]!, image[3 * at + 2]!];
        let guess = 0;
        let least = Infinity;
        means.forEach(([mr = 0, mg = 0, mb = 0], index) => {
          const distance = (r - mr) ** 2 + (g - mg) ** 2 + (b - mb) ** 2;
          if (distance >= least) return;
          least = distance;
          guess = index;
        });
        unions[value]! += 1;
        if (guess === value) hits[value]! += 1;
        else unions[guess]! += 1;
      });
    }
    const iou = hits.map((hit, i) => hit / unions[i]!);
    // Measured: mean 0.09; sky 0.50 is the only class above 0.16, seven are below 0.04.
    expect(iou.reduce((sum, value) => sum + value) / classes).toBeLessThan(0.14);
    expect(iou.filter((value) => value < 0.06).length).toBeGreaterThanOrEqual(7);
  });
});
