import { openOnnx } from "../../shared/engine/onnx";
import type { Head } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { randomGenotype, smallSpace } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { describeNetwork, initialOnnx, networkJson, networkLines } from "./networkBuild";

const genotype = randomGenotype(smallSpace(), uniform(3));
const heads: Head[] = [{ kind: "search" }, { kind: "aggregation", pyramidChannels: 3, dropout: 0 }];

describe.each(heads)("a network with the $kind head", (head) => {
  const description = describeNetwork(genotype, head);

  it("is the sum of its parts, in order", () => {
    const { parts, params, macs } = description;
    expect({ params, macs }).toEqual(networkCosts(genotype, head));
    for (const key of ["params", "macs"] as const)
      expect(parts.reduce((sum, part) => sum + part[key], 0)).toBe(description[key]);
    const blocks = genotype.stages.map(({ blocks }, s) => blocks.map((_, b) => `stage${s + 1}/block${b + 1}`));
    expect(parts.map(({ name }) => name)).toEqual([
      "stem",
      ...blocks.flatMap((names, s) => [`stage${s + 1}/reduction`, ...names]),
      "head",
    ]);
  });

  it("is exported with the weights of a seed, and the same seed gives the same weights", async () => {
    const bytes = initialOnnx(description, 1);
    expect(Buffer.compare(bytes, initialOnnx(description, 1))).toBe(0);
    expect(Buffer.compare(bytes, initialOnnx(description, 2))).not.toBe(0);
    const model = await openOnnx(bytes);
    const cell = head.kind === "search" ? 8 : 1;
    expect(model.outputs.logits?.shape).toEqual([1, 5, 32 / cell, 64 / cell]);
    const { logits } = await model.run({ image: new Float32Array(3 * 32 * 64).fill(0.5) });
    expect(logits!.every(Number.isFinite)).toBe(true);
    expect(JSON.parse(model.metadata.classes ?? "[]")).toHaveLength(5);
    await model.release();
  });
});

it("prints a line per part and the totals", () => {
  const description = describeNetwork(genotype, { kind: "aggregation", pyramidChannels: 3, dropout: 0 });
  const lines = networkLines(description);
  expect(lines[0]).toBe("32x64 pixels, 5 classes, aggregation head with a pyramid of 3 channels");
  const narrow = networkLines({
    ...description,
    genotype: { ...genotype, joinedWidth: 6, pyramidWidth: 0, detailWidth: 4 },
  });
  expect(narrow[0]).toBe("32x64 pixels, 5 classes, aggregation head without a pyramid, joined width 6, detail width 4");
  const table = lines.slice(3, -2);
  expect(table.map((line) => line.trim().split(/\s+/)[0])).toEqual([
    ...description.parts.map(({ name }) => name),
    "total",
  ]);
  const [block] = genotype.stages[0]!.blocks;
  const { dilation, scale, middleWidth, outputWidth } = block!;
  expect(table[2]).toContain(` d${dilation}s${scale} 8-${middleWidth}-${outputWidth} `);
  expect(table.at(-1)).toContain(description.params.toLocaleString("en-US"));
  expect(networkJson(description)).toMatchObject({
    head: "aggregation",
    pyramidChannels: 3,
    params: description.params,
  });
});
