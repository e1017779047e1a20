import type { SearchSpace } from "../proto/lathe/v1/space";
import { derive } from "../space/genotype";
import { group, initialArchitecture, operations, widthId } from "../space/groups";
import type { Head } from "../space/head";
import { kindOf } from "../space/kinds/kinds";
import { PYRAMID_BINS } from "../space/networkCosts";
import { keepSurvivors } from "../testing/networks";
import { randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { extent, type TensorTable } from "./declaration";
import { buildDiscrete } from "./discrete";
import { inheritBuffer } from "./inherit";
import { buildSupernet } from "./supernet";

/** Two operations that share a norm, one at half resolution, and two widths. */
const space: SearchSpace = {
  inputHeight: 32,
  inputWidth: 32,
  classes: 2,
  stemChannels: 4,
  dilations: [1, 2],
  scales: [1, 2],
  kinds: [],
  stages: [
    { channels: 6, minDepth: 1, maxDepth: 2, widths: [1, 2, 6], dropout: 0 },
    { channels: 8, minDepth: 1, maxDepth: 1, widths: [8], dropout: 0 },
  ],
};

/** Block 2 of stage 1 keeps d1s1 and d2s1 with widths 1 and 2, and d2s2 with output 6. All other groups keep all candidates. */
const shrunk = keepSurvivors(space, initialArchitecture(space), ({ id, survivors }) => {
  if (id === "stage1/block2/operation") return [0, 1, 3];
  if (id === "stage1/block2/d2s2/output") return [2];
  if (/^stage1\/block2\/d1s1/.test(id)) return [0];
  return /^stage1\/block2\/d2s1/.test(id) ? [0, 1] : survivors;
});

/** The tensors of a part as "name: owner x elements of each run", with commas between axes and plus signs between runs. */
const lines = ({ entries }: TensorTable, wanted: string): string[] =>
  entries
    .filter(({ part }) => part === wanted)
    .map(({ name, axes }) => {
      const runs = axes.map((axis) => axis.map(({ of, elements }) => `${of} x${elements.length}`).join(" + "));
      return `${name}: ${runs.join(", ")}`;
    });

describe("the declared tensors", () => {
  const supernet = buildSupernet(space, shrunk);

  it("of a search block name the width groups of their axes, in the order of checkpoints", () => {
    const [b1, b2] = ["stage1/block1", "stage1/block2"];
    expect(lines(supernet.weights, b2)).toEqual([
      `${b2}/d1s1/conv1: ${b2}/d1s1/middle x1, ${b1} x6, row x3, column x1`,
      `${b2}/d2s1/conv1: ${b2}/d2s1/middle x2, ${b1} x6, row x3, column x1`,
      `${b2}/s1/norm1/gamma: ${b2}/d1s1/middle x1 + ${b2}/d2s1/middle x2`,
      `${b2}/s1/norm1/beta: ${b2}/d1s1/middle x1 + ${b2}/d2s1/middle x2`,
      `${b2}/d1s1/conv2: ${b2}/d1s1/output x1, ${b2}/d1s1/middle x1, row x1, column x3`,
      `${b2}/d2s1/conv2: ${b2}/d2s1/output x2, ${b2}/d2s1/middle x2, row x1, column x3`,
      `${b2}/s1/norm2/gamma: ${b2}/d1s1/output x1 + ${b2}/d2s1/output x2`,
      `${b2}/s1/norm2/beta: ${b2}/d1s1/output x1 + ${b2}/d2s1/output x2`,
      `${b2}/d2s2/conv1: ${b2}/d2s2/middle x6, ${b1} x6, row x3, column x1`,
      `${b2}/s2/norm1/gamma: ${b2}/d2s2/middle x6`,
      `${b2}/s2/norm1/beta: ${b2}/d2s2/middle x6`,
      `${b2}/d2s2/conv2: ${b2}/d2s2/output x6, ${b2}/d2s2/middle x6, row x1, column x3`,
      `${b2}/s2/norm2/gamma: ${b2}/d2s2/output x6`,
      `${b2}/s2/norm2/beta: ${b2}/d2s2/output x6`,
    ]);
    expect(lines(supernet.stats, b2).slice(0, 2)).toEqual([
      `${b2}/s1/norm1/mean: ${b2}/d1s1/middle x1 + ${b2}/d2s1/middle x2`,
      `${b2}/s1/norm1/variance: ${b2}/d1s1/middle x1 + ${b2}/d2s1/middle x2`,
    ]);
  });

  it("of reductions and head name the parts whose channels they read", () => {
    expect(lines(supernet.weights, "stem")).toEqual([
      "stem/conv: stem x1, image x3, row x3, column x3",
      "stem/norm/gamma: stem x1 + image x3",
      "stem/norm/beta: stem x1 + image x3",
    ]);
    expect(lines(supernet.weights, "stage2/reduction")).toEqual([
      "stage2/reduction/conv: stage2/reduction x2, stage1 x6, row x3, column x3",
      "stage2/reduction/norm/gamma: stage2/reduction x2 + stage1 x6",
      "stage2/reduction/norm/beta: stage2/reduction x2 + stage1 x6",
    ]);
    expect(lines(supernet.weights, "head")).toEqual([
      "head/conv: classes x2, stage2 x8, row x1, column x1",
      "head/bias: classes x2",
    ]);
  });

  it("of the heads of more stages are those of two and then those of the stages between, in an order that stays", () => {
    const stages = [8, 12, 16, 20].map((channels) => ({
      channels,
      blocks: [{ dilation: 1, scale: 1, middleWidth: 4, outputWidth: 4 }],
    }));
    const headOf = (count: number, head: Head) => {
      const sizes = { inputHeight: 64, inputWidth: 64, classes: 2, stemChannels: 6 };
      const { entries } = buildDiscrete({ ...sizes, stages: stages.slice(0, count) }, head).weights;
      return entries.flatMap(({ part, kind, name }) =>
        part === "head" && kind !== "gamma" && kind !== "beta" ? [name] : [],
      );
    };
    expect(headOf(3, { kind: "search" })).toEqual(["head/conv", "head/bias", "head/stage2/conv"]);
    const pyramid = [1, 2, 3, 6, 9].map((bins) => `head/pyramid${bins}/conv`);
    const ends = ["head/detail/conv", "head/fusion/conv", "head/classifier/conv", "head/classifier/bias"];
    const aggregation: Head = { kind: "aggregation", pyramidChannels: 3, dropout: 0 };
    expect(headOf(2, aggregation)).toEqual([...pyramid, "head/context/conv", ...ends]);
    const joins = ["head/join3/conv", "head/join2/conv"];
    expect(headOf(4, aggregation)).toEqual([...pyramid, "head/context/conv", ...joins, ...ends]);
  });

  it("of the architecture parameters are those of depth, operation and width groups", () => {
    const b2 = "stage1/block2";
    expect(lines(supernet.alphas, "stage1")).toEqual(["stage1/depth: stage1/depth x2"]);
    const rows = (kind: string) => ["d1s1", "d2s1", "d2s2"].map((name) => `${b2}/${name}/${kind} x1`).join(" + ");
    expect(lines(supernet.alphas, b2)).toEqual([
      `${b2}/operation: ${b2}/operation x3`,
      `${b2}/output: ${rows("output")}, width x3`,
      `${b2}/middle: ${rows("middle")}, width x3`,
    ]);
    const choice = supernet.alphas.entries.find(({ name }) => name === `${b2}/operation`);
    expect(choice?.axes[0]?.[0]?.elements).toEqual([0, 1, 3]);
  });

  it("of a genotype's network have the same owners as in the supernet", () => {
    const { genotype } = derive(space, shrunk);
    const { weights } = buildDiscrete(genotype, { kind: "search" });
    expect(genotype.stages[0]?.blocks).toHaveLength(1);
    const b1 = "stage1/block1";
    expect(lines(weights, b1)).toEqual([
      `${b1}/conv1: ${b1}/d1s1/middle x1, stage1/reduction x2 + stem x1 + image x3, row x3, column x1`,
      `${b1}/norm1/gamma: ${b1}/d1s1/middle x1`,
      `${b1}/norm1/beta: ${b1}/d1s1/middle x1`,
      `${b1}/conv2: ${b1}/d1s1/output x1, ${b1}/d1s1/middle x1, row x1, column x3`,
      `${b1}/norm2/gamma: ${b1}/d1s1/output x1`,
      `${b1}/norm2/beta: ${b1}/d1s1/output x1`,
    ]);
    expect(lines(weights, "stage2/reduction")[0]).toBe(
      "stage2/reduction/conv: stage2/reduction x2, stage1 x1, row x3, column x3",
    );
  });
});

describe("an axis is as long as its groups' survivors make it", () => {
  const cases = Array.from({ length: 20 }, (_, seed) => seed);

  it.each(cases)("in the supernet of random space %d", (seed) => {
    const random = uniform(seed);
    const any = randomSpace(random);
    const architecture = randomArchitecture(any, random);
    const supernet = buildSupernet(any, architecture);
    // Lengths by the groups alone: the widest survivor of a width group, the survivors of the others, 1 per row of alphas.
    const widest = (id: string, widths: readonly number[]) =>
      Math.max(...group(architecture, id).survivors.map((survivor) => widths[survivor]!));
    const [c1, c2] = any.stages.map(({ channels }) => channels);
    const lengths = new Map<string, number>([
      ...Object.entries({ image: 3, stem: any.stemChannels - 3, classes: any.classes }),
    ]);
    // The units of the aggregation head: the widest survivor of a searched width, else all channels.
    const ofHead = (id: string, widths: readonly number[] | undefined, full: number) => {
      if (!widths?.length) return full;
      lengths.set(id, group(architecture, id).survivors.length);
      return widest(id, widths);
    };
    const { joined, pyramid, detail } = { ...any.headWidths };
    const [wide, branch] = [ofHead("head/joined", joined, c2!), ofHead("head/pyramid", pyramid, any.pyramidChannels!)];
    for (const bins of PYRAMID_BINS) lengths.set(`pyramid${bins}`, branch);
    for (const unit of ["context", "join2", "fusion"]) lengths.set(unit, wide);
    lengths.set("detail", ofHead("head/detail", detail, c1!));
    any.stages.forEach(({ channels, widths, minDepth }, index) => {
      const stage = `stage${index + 1}`;
      const before = any.stages[index - 1]?.channels ?? any.stemChannels;
      const depths = group(architecture, `${stage}/depth`).survivors;
      lengths.set(`${stage}/reduction`, channels - before).set(`${stage}/depth`, depths.length);
      const outputs = Array.from({ length: minDepth + Math.max(...depths) }, (_, position) => {
        const block = `${stage}/block${position + 1}`;
        const { survivors } = group(architecture, `${block}/operation`);
        lengths.set(`${block}/operation`, survivors.length);
        const chosen = survivors.map((survivor) => operations(any)[survivor]!);
        const names = chosen.map(({ name }) => name);
        for (const { name, kind } of chosen) {
          const [output, middle] = [widthId(block, name, "output"), widthId(block, name, "middle")];
          const { expansion } = kindOf({ kind });
          lengths.set(output, widest(output, widths)).set(middle, expansion * widest(middle, widths));
        }
        const output = Math.max(...names.map((name) => lengths.get(`${block}/${name}/output`)!));
        lengths.set(block, output);
        return output;
      });
      lengths.set(stage, Math.max(...depths.map((depth) => outputs[minDepth + depth - 1]!)));
    });
    let seen = 0;
    for (const { axes, shape } of [...supernet.weights.entries, ...supernet.stats.entries]) {
      expect(axes.map(extent)).toEqual(shape);
      for (const { of, elements } of axes.flat()) {
        if (of === "row" || of === "column" || of === "one") continue;
        expect(`${of} x${elements.length}`).toBe(`${of} x${lengths.get(of)}`);
        seen++;
      }
    }
    for (const { axes, layer } of supernet.alphas.entries)
      for (const { of, elements } of axes[0]!)
        expect(elements.length).toBe(layer === "output" || layer === "middle" ? 1 : lengths.get(of));
    expect(seen).toBeGreaterThan(30);
  });
});

describe("inheritBuffer by hand", () => {
  const whole = buildSupernet(space, initialArchitecture(space));
  const small = buildSupernet(space, shrunk);
  /** A number per element that identifies its tensor and its index in the whole supernet. */
  const numbered = (table: TensorTable) => Float32Array.from({ length: table.size }, (_, index) => index);
  const valuesOf = (vector: Float32Array, table: TensorTable, name: string) => {
    const { offset, shape } = table.entries.find((entry) => entry.name === name)!;
    return [...vector.subarray(offset, offset + shape.reduce((product, size) => product * size, 1))];
  };
  const offsetOf = (table: TensorTable, name: string) => table.entries.find((entry) => entry.name === name)!.offset;

  it("takes the first channels of each operation out of the vector that the norms of a scale share", () => {
    const vector = inheritBuffer(numbered(whole.weights), "weights", whole, small);
    const start = offsetOf(whole.weights, "stage1/block2/s1/norm1/gamma");
    // In the whole supernet d1s1 has channels 0 to 5 and d2s1 6 to 11. They keep the first one and the first two.
    expect(valuesOf(vector, small.weights, "stage1/block2/s1/norm1/gamma")).toEqual([start, start + 6, start + 7]);
    // At scale 2, d1s2 was removed, which had the first 6 of 12 channels.
    const half = offsetOf(whole.weights, "stage1/block2/s2/norm2/beta");
    expect(valuesOf(vector, small.weights, "stage1/block2/s2/norm2/beta")).toEqual(
      [6, 7, 8, 9, 10, 11].map((channel) => half + channel),
    );
  });

  it("takes the first outputs and inputs of a filter, with all taps", () => {
    const vector = inheritBuffer(numbered(whole.weights), "weights", whole, small);
    const start = offsetOf(whole.weights, "stage1/block2/d2s1/conv2");
    // [6 outputs, 6 inputs, 1, 3 taps], of which outputs 0 and 1 and inputs 0 and 1 are left.
    expect(valuesOf(vector, small.weights, "stage1/block2/d2s1/conv2")).toEqual(
      [0, 1, 2, 3, 4, 5, 18, 19, 20, 21, 22, 23].map((index) => start + index),
    );
  });

  it("takes the surviving candidates of operations, and the rows of their widths whole", () => {
    const vector = inheritBuffer(numbered(whole.alphas), "alphas", whole, small);
    const at = (name: string, indices: number[]) => indices.map((index) => offsetOf(whole.alphas, name) + index);
    const operation = "stage1/block2/operation";
    expect(valuesOf(vector, small.alphas, operation)).toEqual(at(operation, [0, 1, 3]));
    const middle = "stage1/block2/middle";
    expect(valuesOf(vector, small.alphas, middle)).toEqual(at(middle, [0, 1, 2, 3, 4, 5, 9, 10, 11]));
  });

  it("keeps the channels that a reduction's convolution adds, followed by those of a narrower input", () => {
    const narrow = buildSupernet(
      space,
      keepSurvivors(space, initialArchitecture(space), ({ id, survivors }) => {
        if (id === "stage1/depth") return [0];
        return /^stage1\/block1\/.*\/output$/.test(id) ? [0, 1] : survivors;
      }),
    );
    const vector = inheritBuffer(numbered(whole.stats), "stats", whole, narrow);
    const start = offsetOf(whole.stats, "stage2/reduction/norm/mean");
    // 2 channels that the convolution adds, then 2 of 6.
    expect(valuesOf(vector, narrow.stats, "stage2/reduction/norm/mean")).toEqual([0, 1, 2, 3].map((c) => start + c));
  });

  it("refuses channels that the supernet no longer has", () => {
    expect(() => inheritBuffer(numbered(small.weights), "weights", small, whole)).toThrow(
      "element 1 of stage1/block2/d1s1/middle has left the supernet",
    );
  });
});
