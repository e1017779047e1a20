import { openSupernetTrainer } from "../services/supernet/training/supernetTrainer";
import { createEngine } from "../shared/engine/engine";
import { firstState } from "../shared/network/checkpoint";
import { inheritBuffer } from "../shared/network/inherit";
import { buildSupernet } from "../shared/network/supernet";
import { costOfLargest, macsTable } from "../shared/space/cost";
import { initialArchitecture } from "../shared/space/groups";
import { searchStride } from "../shared/space/head";
import { randomBuffer, smallSpace } from "../shared/testing/networks";
import { randomArchitecture, uniform } from "../shared/testing/spaces";
import { base64, namedTensors, openPyTorch, type PyTorch, pytorchSettings } from "./pytorch";
import { hasTorch } from "./pytorch.fixture";

// Without PyTorch, the comparison is skipped.
(hasTorch ? describe : describe.skip)("the PyTorch side", () => {
  const space = smallSpace();
  for (const stage of space.stages) stage.dropout = 0;
  const table = macsTable(space);
  const options = {
    seed: 1,
    batchSize: 2,
    weightDecay: 0,
    classWeights: Float32Array.from({ length: space.classes }, (_, index) => 1 + index),
    alpha: {
      table,
      largestCost: costOfLargest(space, table),
      target: 0.6,
      ssr: { depth: 30, operation: 20, outputWidth: 15, middleWidth: 10 },
      weightDecay: 0,
    },
  };
  const full = buildSupernet(space, initialArchitecture(space));

  let python: PyTorch;
  beforeAll(async () => {
    python = (await openPyTorch(1))!;
  });
  afterAll(() => python.close());

  it.each([1, 2])("computes the losses of a pruned supernet, case %i", async (seed) => {
    const random = uniform(seed);
    const architecture = randomArchitecture(space, random);
    const pruned = buildSupernet(space, architecture);
    const weights = randomBuffer(full.weights, random);
    const stats = randomBuffer(pruned.stats, random);
    const images = Float32Array.from({ length: 2 * 3 * 32 * 64 }, random);
    const cells = (2 * 32 * 64) / searchStride(space) ** 2;
    const labels = Int32Array.from({ length: cells }, () => Math.floor(random() * space.classes));

    const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
    const state = firstState(pruned, inheritBuffer(weights, "weights", full, pruned), stats);
    const session = await openSupernetTrainer(engine, state, options);
    const terms = { ssrFactor: 1, costWeight: 7 };
    const batch = { images, labels, size: 2, indices: [] };
    // With a learning rate of 0, both steps see the initial weights.
    const { loss } = await session.weightStep(batch, 0);
    const ours = await session.alphaStep!(batch, 0, terms);
    await session.release();

    await python.call("init", {
      ...pytorchSettings(space, options, { rates: { weights: 0, alphas: 0 }, ...terms }),
      architecture,
      weights: namedTensors(weights, full.weights),
      images: base64(images),
      labels: [...labels],
    });
    const theirs = await python.call<{ loss: number; alpha: Record<"loss" | "ssr" | "cost", number> }>("pair");
    expect(theirs.loss / loss).toBeCloseTo(1, 4);
    for (const term of ["loss", "ssr", "cost"] as const) expect(theirs.alpha[term] / ours[term]).toBeCloseTo(1, 4);
  });

  it.each([
    ["channels_last", "float32", 5],
    ["contiguous", "bfloat16", 1],
  ] as const)("computes the losses of eager float32 in %s, %s", async (layout, precision, digits) => {
    const losses = async (mode: object) => {
      await python.call("init", {
        ...pytorchSettings(space, options, { rates: { weights: 0, alphas: 0 }, ssrFactor: 1, costWeight: 1 }),
        architecture: initialArchitecture(space),
        weights: namedTensors(randomBuffer(full.weights, uniform(1)), full.weights),
        images: base64(Float32Array.from({ length: 2 * 3 * 32 * 64 }, uniform(2))),
        labels: Array.from({ length: (2 * 32 * 64) / searchStride(space) ** 2 }, (_, at) => at % space.classes),
        mode,
      });
      const { loss, alpha } = await python.call<{ loss: number; alpha: { loss: number } }>("pair");
      return [loss, alpha.loss];
    };
    const want = await losses({});
    const got = await losses({ layout, precision });
    for (const [at, loss] of got.entries()) expect(loss / want[at]!).toBeCloseTo(1, digits);
    // Rounded to 8 bits they are not the same.
    if (precision === "bfloat16") expect(got).not.toEqual(want);
  });

  it("moves the same parameters if each step computes only their gradients", async () => {
    const pairs = async (frozen: boolean) => {
      await python.call("init", {
        ...pytorchSettings(space, options, { rates: { weights: 1e-2, alphas: 1e-1 }, ssrFactor: 1, costWeight: 1 }),
        architecture: initialArchitecture(space),
        weights: namedTensors(randomBuffer(full.weights, uniform(1)), full.weights),
        images: base64(Float32Array.from({ length: 2 * 3 * 32 * 64 }, uniform(2))),
        labels: Array.from({ length: (2 * 32 * 64) / searchStride(space) ** 2 }, (_, at) => at % space.classes),
        mode: { frozen },
      });
      type Pair = { loss: number; others: Record<"weights" | "alpha", number> };
      return [await python.call<Pair>("pair"), await python.call<Pair>("pair")];
    };
    const [all, own] = [await pairs(false), await pairs(true)];
    expect(all[1]!.loss).not.toBeCloseTo(all[0]!.loss, 3);
    for (const [at, { loss, others }] of own.entries()) {
      expect(loss / all[at]!.loss).toBeCloseTo(1, 5);
      expect(others).toEqual({ weights: 0, alpha: 0 });
      for (const count of Object.values(all[at]!.others)) expect(count).toBeGreaterThan(0);
    }
  });

  it("ends a process that does not answer in time", async () => {
    const other = (await openPyTorch(1))!;
    await other.call("init", {
      ...pytorchSettings(space, options, { rates: { weights: 0, alphas: 0 }, ssrFactor: 1, costWeight: 1 }),
      architecture: initialArchitecture(space),
    });
    const endless = { steps: 1e9, alphaSteps: 0, evaluations: 0 };
    await expect(other.call("epoch", endless, 1)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await other.close();
  });
});
