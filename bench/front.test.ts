import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deployOnnx } from "../shared/network/deploy";
import { buildDiscrete } from "../shared/network/discrete";
import { networkOnnx } from "../shared/network/export";
import { randomBuffer, randomGenotype, smallSpace } from "../shared/testing/networks";
import { uniform } from "../shared/testing/spaces";
import { entrantOf, front } from "./front";
import { names, networks, ratiosOf } from "./front/tables";

const placed = [
  { name: "ours", file: "a", miou: 0.5, ms: 2 },
  { name: "ours", file: "b", miou: 0.54, ms: 4 },
  { name: "theirs", file: "c", miou: 0.52, ms: 8 },
];

it("the table of networks begins with the fastest and names what dominates a row", () => {
  expect(networks([...placed].reverse()).rows).toEqual([
    ["ours", "a", "50.0", "2.00", ""],
    ["ours", "b", "54.0", "4.00", ""],
    ["theirs", "c", "52.0", "8.00", "b"],
  ]);
});

// The deviations of 50 and 54, and of 2 and 4, are the roots of 8 and of 2.
it("the table of names has means and sample standard deviations, and none for a single network", () => {
  expect(names(placed).rows).toEqual([
    ["ours", 2, "52.0 ± 2.8", "3.00 ± 1.41"],
    ["theirs", 1, "52.0", "8.00"],
  ]);
});

it("the ratios of a round are to the slowest network", () => {
  const rounds = [
    { a: 1, b: 2, c: 4 },
    { a: 3, b: 3, c: 6 },
  ];
  expect(ratiosOf(rounds, placed)).toEqual({ "a / c": [0.25, 0.5], "b / c": [0.5, 0.5] });
});

it.each(["deploy.onnx", "=deploy.onnx", "ours="])("%j names no network", (argument) => {
  expect(() => entrantOf(argument)).toThrow(`"${argument}" names no network: write NAME=FILE`);
});

describe("two forms of one network", () => {
  const folder = mkdtempSync(join(tmpdir(), "lathe-front-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("have the same mIoU, a latency each, and a place in the plot", async () => {
    const random = uniform(5);
    const space = smallSpace({ inputHeight: 64, inputWidth: 128, classes: 11 });
    const network = buildDiscrete(randomGenotype(space, random), {
      kind: "aggregation",
      pyramidChannels: 3,
      dropout: 0,
    });
    const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
    const file = (name: string, bytes: Uint8Array) => {
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    };
    const svg = join(folder, "front.svg");
    const [byFile, byName] = await front([
      `classes=${file("deploy.onnx", deployOnnx(network, parameters, { classes: [], search: "" }))}`,
      `logits=${file("network.onnx", networkOnnx(network, parameters, []))}`,
      ...["--dataset", "streets", "--input", "64x128", "--rounds", "1", "--svg", svg],
    ]);
    const [classes, logits] = byName!.table!.rows;
    expect([classes!.slice(0, 2), logits!.slice(0, 2)]).toEqual([["classes", 1], ["logits", 1]]); // prettier-ignore
    // On some processors, folded batch norms turn a pixel.
    expect(Math.abs(Number(classes![2]) - Number(logits![2]))).toBeLessThan(0.15);
    expect(Object.values(byFile!.series).map((ms) => ms.length > 0 && ms.every((each) => each > 0))).toEqual([
      true,
      true,
    ]);
    for (const text of ["classes", "logits", "Pareto front", "validation mIoU (%)"])
      expect(readFileSync(svg, "utf8")).toContain(text);
  });
});
