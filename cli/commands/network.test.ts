import { AlgorithmKind } from "../../shared/proto/lathe/v1/spec";
import { resolve } from "../../shared/spec/resolve";
import { randomGenotype, smallSpace } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { trainingSpec } from "./network";

const genotype = randomGenotype(smallSpace(), uniform(4));
const flags = { file: "five.json", preset: "small" };

describe("the spec that trains a network", () => {
  it("holds the network with the classes of the data set, and flags override the preset", () => {
    const { spec, said } = trainingSpec(
      { ...flags, dataset: "camvid", data: "/d", epochs: 3, batch: 2, pyramid: 5, seed: 9, name: "n" },
      genotype,
    );
    const { spec: resolved, space } = resolve(spec);
    expect(resolved.algorithm).toEqual({
      kind: AlgorithmKind.ALGORITHM_KIND_FIXED,
      genotype: { ...genotype, classes: 11 },
    });
    expect(space.classes).toBe(11);
    expect(resolved.retraining).toMatchObject({ epochs: 3, batchSize: 2, pyramidChannels: 5, learningRate: 3e-3 });
    expect(resolved).toMatchObject({ seed: 9, labels: { name: "n" } });
    expect(said).toBe("the classifier has the 11 classes of camvid, instead of the 5 of five.json");
  });

  it("uses the preset's data set and its values without flags", () => {
    const { spec } = trainingSpec({ ...flags, preset: "tiny" }, genotype);
    expect(resolve(spec).spec).toMatchObject({
      retraining: { epochs: 40, batchSize: 8 },
      dataset: { trainExamples: 256 },
    });
  });

  it("leaves the network unchanged for kind folder", () => {
    const { spec, said } = trainingSpec({ ...flags, dataset: "folder", data: "/d" }, genotype);
    expect(resolve(spec).space.classes).toBe(5);
    expect(said).toBeUndefined();
  });

  it("rejects an explicit number of classes that differs from the data set's", () => {
    const { spec } = trainingSpec({ ...flags, preset: "tiny", classes: 12 }, { ...genotype, classes: 12 });
    expect(() => resolve(spec)).toThrow("algorithm.genotype.classes is 12, must be 11, as many as the data set has");
  });
});
