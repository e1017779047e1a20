import { rates } from "../../../shared/engine/adam";
import { eagerEngine, type Arrays, type Engine, type Step } from "../../../shared/engine/engine";
import { view, type Manifest } from "../../../shared/engine/parameters";
import { recalibratedStats } from "../../../shared/evaluation/recalibration";
import { relativeDifference } from "../../../shared/testing/parity";
import { packAlphas, pathAlphas } from "../../../shared/network/alphas";
import { buildDiscrete } from "../../../shared/network/discrete";
import { inheritBuffer } from "../../../shared/network/inherit";
import { buildSupernet } from "../../../shared/network/supernet";
import type { Architecture } from "../../../shared/proto/lathe/v1/space";
import { initialArchitecture } from "../../../shared/space/groups";
import { searchedHead } from "../../../shared/space/head";
import { keepSome, keepSurvivors, noise, randomBuffer, randomGenotype } from "../../../shared/testing/networks";
import { uniform } from "../../../shared/testing/spaces";
import { alphaStep, stepSignature, trainableNetwork, trainableSupernet, weightStep } from "./steps";
import { space, BATCH, shape, alphaLoss, onnx, batch } from "./steps.fixture";

/** Outputs of a step on both engines. */
async function both(
  step: Step,
  signature: Parameters<Engine["compile"]>[1],
  inputs: Arrays,
): Promise<[Arrays, Arrays]> {
  const run = async (engine: Engine) => {
    const compiled = await engine.compile(step, signature);
    const outputs = await compiled.run(inputs);
    await compiled.release();
    return outputs;
  };
  return [await run(onnx), await run(eagerEngine("cpu"))];
}
/** Compares each tensor of a vector by itself, so that large tensors do not hide differences of small ones. */
function expectEntries(got: Arrays, want: Arrays, role: string, layout: Manifest): void {
  for (const { name } of layout.entries) {
    const [a, b] = [got, want].map((arrays) => view(arrays[role] as Float32Array, layout, name)) as [
      Float32Array,
      Float32Array,
    ];
    // Mathematically 0 (p of a decided row is w / w): rounding on both sides.
    if (b.every((value) => Math.abs(value) < 1e-7)) expect(a.every((value) => Math.abs(value) < 1e-6)).toBe(true);
    else
      expect(`${name} ${relativeDifference(a, b) < 1e-4 ? "agrees" : relativeDifference(a, b)}`).toBe(`${name} agrees`);
  }
}
const positive = (length: number, random: () => number) => Float32Array.from({ length }, () => 0.01 + random());
const supernets: [string, Architecture][] = [
  ["whole", initialArchitecture(space)],
  [
    "shrunk",
    // One exit of stage 1, fewer operations and widths, and blocks with one scale left.
    keepSome(
      space,
      keepSurvivors(space, initialArchitecture(space), ({ id, survivors }) =>
        id === "stage1/depth" ? [1] : survivors,
      ),
      uniform(12),
      0.5,
    ),
  ],
];
describe.each(supernets)("a step of the %s supernet, compiled against eager", (kind, start) => {
  const random = uniform(31);
  const architecture = {
    groups: start.groups.map((group) => ({ ...group, alphas: group.survivors.map(() => 4 * random() - 2) })),
  };
  const supernet = buildSupernet(space, architecture);
  const { size: w } = supernet.weights;
  const { size: a } = supernet.alphas;
  const weights = randomBuffer(supernet.weights, random);
  const stats = randomBuffer(supernet.stats, random);
  const alphas = packAlphas(supernet, architecture);

  it("has the expected operations", () => {
    expect(supernet.dropouts.length).toBeGreaterThan(3);
    const counts = supernet.stages.flatMap(({ blocks }) => blocks.map(({ operations }) => operations.length));
    expect([...new Set(counts)].length > 1 || counts[0] === 4).toBe(true);
    expect(supernet.stages.map(({ exits }) => exits.length)[0]).toBe(kind === "whole" ? 2 : 1);
  });

  it("has the same loss, gradients, moments, statistics and moved weights", async () => {
    const signature = stepSignature(
      { weights: w, m: w, v: w, stats: supernet.stats.size, alphas: a },
      { rates: [2] },
      shape,
      supernet.dropouts,
    );
    const inputs = { weights, stats, alphas, rates: rates(1e-2, 3), ...batch(supernet, random) };
    // From moments 0 and without decay, m after the step is 0.1 * gradient.
    const zero = { m: new Float32Array(w), v: new Float32Array(w) };
    const plain = await both(weightStep(trainableSupernet(supernet), 0), signature, { ...inputs, ...zero });
    expectEntries(...plain, "m", supernet.weights);
    const moments = { m: noise(w, random), v: positive(w, random) };
    const [got, want] = await both(weightStep(trainableSupernet(supernet), 1e-2), signature, { ...inputs, ...moments });
    expect(Object.keys(want).sort()).toEqual(["loss", "m", "norm", "stats", "v", "weights"]);
    // m is 0.1 * gradient here.
    const [first] = plain;
    expect(first.norm![0]).toBeCloseTo(Math.hypot(...Array.from(first.m!, (value) => 10 * value)), 3);
    for (const role of ["weights", "m", "v"]) expectEntries(got, want, role, supernet.weights);
    expectEntries(got, want, "stats", supernet.stats);
    expect(relativeDifference(got.loss!, want.loss!)).toBeLessThan(1e-5);
    expect(relativeDifference(want.weights!, weights)).toBeGreaterThan(1e-3);
    expect(relativeDifference(want.stats!, stats)).toBeGreaterThan(1e-3);
  });

  it("has the same terms of the alpha loss, gradients and moved parameters", async () => {
    const signature = stepSignature(
      { alphas: a, m: a, v: a, weights: w },
      { rates: [2], ssrFactor: [1], costWeight: [1] },
      shape,
      supernet.dropouts,
    );
    const inputs = {
      weights,
      alphas,
      rates: rates(2e-2, 5),
      ssrFactor: Float32Array.of(2.5),
      costWeight: Float32Array.of(3),
      ...batch(supernet, random),
    };
    const step = (weightDecay: number) => alphaStep(supernet, { ...alphaLoss, weightDecay });
    const zero = { m: new Float32Array(a), v: new Float32Array(a) };
    const clipped = await both(step(0), signature, { ...inputs, ...zero });
    expectEntries(...clipped, "m", supernet.alphas);
    // The norm of the gradient exceeded 5 and was clipped.
    const length = Math.hypot(...clipped[1].m!);
    expect([clipped[1].norm![0]! > 5, length]).toEqual([true, expect.closeTo(0.1 * 5, 5)]);
    const moments = { m: noise(a, random), v: positive(a, random) };
    const [got, want] = await both(step(1e-3), signature, { ...inputs, ...moments });
    for (const role of ["alphas", "m", "v"]) expectEntries(got, want, role, supernet.alphas);
    for (const term of ["loss", "ssr", "cost", "expectedCost", "norm", "total"])
      expect(relativeDifference(got[term]!, want[term]!)).toBeLessThan(2e-5);
    const scalar = (name: string) => want[name]![0]!;
    expect(scalar("total")).toBeCloseTo(100 * scalar("loss") + 2.5 * scalar("ssr") + scalar("cost"), 3);
    expect(scalar("cost")).toBeCloseTo(3 * (scalar("expectedCost") - 0.2) ** 2, 6);
  });
});
it("a retraining step of a network with the aggregation head agrees, compiled against eager", async () => {
  const random = uniform(3);
  const network = buildDiscrete(randomGenotype(space, random), {
    kind: "aggregation",
    pyramidChannels: 3,
    dropout: 0.2,
  });
  const { size } = network.weights;
  const signature = stepSignature(
    { weights: size, m: size, v: size, stats: network.stats.size },
    { rates: [2] },
    { ...shape, stride: 1 },
    network.dropouts,
  );
  const inputs = {
    weights: randomBuffer(network.weights, random),
    stats: randomBuffer(network.stats, random),
    m: new Float32Array(size),
    v: new Float32Array(size),
    rates: rates(1e-2, 1),
    ...batch(network, random, 1),
  };
  const step = weightStep(trainableNetwork(network), 0);
  const [got, want] = await both(step, signature, inputs);
  expectEntries(got, want, "m", network.weights);
  expectEntries(got, want, "stats", network.stats);
  expect(relativeDifference(got.loss!, want.loss!)).toBeLessThan(1e-5);
});
describe("a step on a single path", () => {
  const random = uniform(17);
  const supernet = buildSupernet(space, initialArchitecture(space));
  const genotype = randomGenotype(space, random);
  const w = supernet.weights.size;
  const inputs = {
    weights: randomBuffer(supernet.weights, random),
    m: new Float32Array(w),
    v: new Float32Array(w),
    stats: randomBuffer(supernet.stats, random),
    alphas: pathAlphas(supernet, genotype),
    rates: rates(1e-2, 1),
    ...batch({ dropouts: [] }, random),
  };
  const signature = stepSignature(
    { weights: w, m: w, v: w, stats: supernet.stats.size, alphas: inputs.alphas.length },
    { rates: [2] },
    shape,
    [],
  );
  const path = { ...trainableSupernet(supernet), dropouts: [] };

  it("updates the weights of its network as a step of that network alone does, and changes no other weight", async () => {
    const step = await onnx.compile(weightStep(path, 0), signature);
    const got = await step.run(inputs);
    await step.release();
    const network = buildDiscrete(genotype, searchedHead(space));
    const size = network.weights.size;
    const alone = await onnx.compile(
      weightStep(trainableNetwork(network), 0),
      stepSignature({ weights: size, m: size, v: size, stats: network.stats.size }, { rates: [2] }, shape, []),
    );
    const inherited = (buffer: Float32Array) => inheritBuffer(buffer, "weights", supernet, network);
    const want = await alone.run({
      ...inputs,
      ...{ weights: inherited(inputs.weights), m: new Float32Array(size), v: new Float32Array(size) },
      stats: inheritBuffer(inputs.stats, "stats", supernet, network),
    });
    await alone.release();
    expect(relativeDifference(got.loss!, want.loss!)).toBeLessThan(1e-5);
    // From moments 0 and without decay, m after the step is 0.1 * gradient.
    expect(relativeDifference(inherited(got.m as Float32Array), want.m as Float32Array)).toBeLessThan(1e-4);

    // The index in the supernet of each weight of the network, found by inheriting the indices.
    const numbers = inherited(Float32Array.from({ length: w }, (_, at) => at));
    const chosen = new Set(numbers);
    expect(chosen.size).toBe(size);
    const others = [...inputs.weights.keys()].filter((at) => !chosen.has(at));
    expect(others.length).toBeGreaterThan(size);
    expect(others.every((at) => got.m![at] === 0 && got.weights![at] === inputs.weights[at])).toBe(true);
  });

  it("with decay and momentum moves the others by these alone", async () => {
    const decay = 1e-2;
    const m = noise(w, random);
    const step = await onnx.compile(weightStep(path, decay), signature);
    const got = await step.run({ ...inputs, m });
    await step.release();
    const network = buildDiscrete(genotype, searchedHead(space));
    const chosen = new Set(
      inheritBuffer(
        Float32Array.from({ length: w }, (_, at) => at),
        "weights",
        supernet,
        network,
      ),
    );
    const others = [...m.keys()].filter((at) => !chosen.has(at));
    const wanted = others.map((at) => 0.9 * m[at]! + 0.1 * decay * inputs.weights[at]!);
    expect(
      relativeDifference(
        Float32Array.from(others, (at) => got.m![at]!),
        Float32Array.from(wanted),
      ),
    ).toBeLessThan(1e-6);
  });
});
it("recalibration computes the moments with which a weight step updates the running statistics", async () => {
  const random = uniform(23);
  const network = buildDiscrete(randomGenotype(space, random), searchedHead(space));
  const { size } = network.weights;
  const [weights, stats] = [randomBuffer(network.weights, random), randomBuffer(network.stats, random)];
  const data = batch(network, random);
  const images = data.images as Float32Array;
  const drawn = [{ images, labels: new Int32Array(), size: BATCH, indices: [] }];
  const moments = await recalibratedStats(onnx, network, weights, drawn, new AbortController().signal);
  const step = await onnx.compile(
    weightStep(trainableNetwork(network), 0),
    stepSignature({ weights: size, m: size, v: size, stats: stats.length }, { rates: [2] }, shape, []),
  );
  const zero = { m: new Float32Array(size), v: new Float32Array(size) };
  const moved = await step.run({ weights, stats, ...zero, rates: rates(1e-2, 1), ...data });
  await step.release();
  const wanted = stats.map((old, at) => 0.9 * old + 0.1 * moments[at]!);
  expect(relativeDifference(moved.stats!, wanted)).toBeLessThan(1e-5);
});
