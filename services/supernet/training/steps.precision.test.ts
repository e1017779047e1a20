import { rates } from "../../../shared/engine/adam";
import type { Arrays, Engine, Step } from "../../../shared/engine/engine";
import { conv2d } from "../../../shared/engine/ops/conv2d";
import { manifest } from "../../../shared/engine/parameters";
import { relativeDifference } from "../../../shared/testing/parity";
import { packAlphas } from "../../../shared/network/alphas";
import { buildSupernet } from "../../../shared/network/supernet";
import { initialArchitecture } from "../../../shared/space/groups";
import { randomBuffer } from "../../../shared/testing/networks";
import { roundingEngine } from "../../../shared/testing/precision";
import { uniform } from "../../../shared/testing/spaces";
import type { tf } from "../../../shared/engine/tf";
import { alphaStep, stepSignature, trainableSupernet, weightStep } from "./steps";
import { space, BATCH, shape, alphaLoss, onnx, batch } from "./steps.fixture";

async function once(engine: Engine, step: Step, signature: Parameters<Engine["compile"]>[1], inputs: Arrays) {
  const compiled = await engine.compile(step, signature);
  const outputs = await compiled.run(inputs);
  await compiled.release();
  return outputs;
}
describe("low precision", () => {
  const random = uniform(41);
  const supernet = buildSupernet(space, initialArchitecture(space));
  const [{ size: w }, { size: a }] = [supernet.weights, supernet.alphas];
  const architecture = { groups: initialArchitecture(space).groups };
  const shared = {
    weights: randomBuffer(supernet.weights, random),
    alphas: packAlphas(supernet, architecture),
    rates: rates(1e-2, 1),
    ...batch(supernet, random),
  };
  const weights = {
    signature: stepSignature(
      { weights: w, m: w, v: w, stats: supernet.stats.size, alphas: a },
      { rates: [2] },
      shape,
      supernet.dropouts,
    ),
    inputs: {
      ...{ ...shared, m: new Float32Array(w), v: new Float32Array(w) },
      stats: randomBuffer(supernet.stats, random),
    },
    step: (scale: number) => weightStep(trainableSupernet(supernet), 0, scale),
  };
  const alphas = {
    signature: stepSignature(
      { alphas: a, m: a, v: a, weights: w },
      { rates: [2], ssrFactor: [1], costWeight: [1] },
      shape,
      supernet.dropouts,
    ),
    inputs: {
      ...{ ...shared, m: new Float32Array(a), v: new Float32Array(a) },
      ...{ ssrFactor: Float32Array.of(2.5), costWeight: Float32Array.of(3) },
    },
    step: (scale: number) => alphaStep(supernet, alphaLoss, scale),
  };
  const roles = { weights, alphas };

  // m after a step from moments 0 is 0.1 * gradient.
  it.each(["weights", "alphas"] as const)("a scale of the loss leaves the gradient of %s in float32", async (role) => {
    const { step, signature, inputs } = roles[role];
    const [plain, scaled] = [
      await once(onnx, step(1), signature, inputs),
      await once(onnx, step(1024), signature, inputs),
    ];
    expect(relativeDifference(scaled.m!, plain.m!)).toBeLessThan(1e-6);
    for (const name of ["loss", "norm"]) expect(relativeDifference(scaled[name]!, plain[name]!)).toBeLessThan(1e-6);
  });

  it.each([
    ["weights", "float16", 2 ** -11],
    ["weights", "bfloat16", 2 ** -8],
    ["alphas", "float16", 2 ** -11],
    ["alphas", "bfloat16", 2 ** -8],
  ] as const)("loss and gradient of %s in %s are those of float32 within its rounding", async (role, low, epsilon) => {
    const { step, signature, inputs } = roles[role];
    const engine = roundingEngine(low);
    const want = await once(onnx, step(1), signature, inputs);
    const got = await once(engine, step(engine.lossScale ?? 1), signature, inputs);
    expect(relativeDifference(got.loss!, want.loss!)).toBeLessThan(4 * epsilon);
    // ReLUs and poolings turn over where values lie within epsilon of each other, a share of about epsilon of all.
    const distance = Math.hypot(...got.m!.map((x, at) => x - want.m![at]!)) / Math.hypot(...want.m!);
    expect(distance).toBeLessThan(3 * Math.sqrt(epsilon));
    expect(distance).toBeGreaterThan(epsilon);
  });

  it("float16 keeps gradients of confident predictions with loss scaling, and loses them without", async () => {
    const size = 128;
    const filter = manifest([{ name: "w", shape: [2, 3, 1, 1] }]);
    const classifier = {
      ...{ weights: filter, stats: manifest([]), dropouts: [] },
      logits: (tensors: Record<string, tf.Tensor>, inputs: Record<string, tf.Tensor>) =>
        conv2d(inputs.images!, tensors.w!),
    };
    const square = { batchSize: BATCH, height: size, width: size, stride: 1, classes: 2 };
    const signature = stepSignature({ weights: 6, m: 6, v: 6, stats: 0 }, { rates: [2] }, square, []);
    // Margin 12 for the right class: p is 6e-6, shared by 32768 pixels 2e-10 each, far below float16's smallest number, 6e-8.
    const inputs = {
      ...{ weights: Float32Array.of(4, 4, 4, 0, 0, 0), m: new Float32Array(6), v: new Float32Array(6) },
      ...{ stats: new Float32Array(0), rates: rates(1e-2, 1), classWeights: Float32Array.of(1, 1) },
      images: new Float32Array(BATCH * 3 * size * size).fill(1),
      labels: new Int32Array(BATCH * size * size),
    };
    const norm = async (engine: Engine, scale: number) =>
      (await once(engine, weightStep(classifier, 0, scale), signature, inputs)).norm![0]!;
    const want = await norm(onnx, 1);
    expect(want).toBeGreaterThan(1e-6);
    expect(await norm(roundingEngine("float16"), 1)).toBe(0);
    // As 3 of float16's smallest number.
    expect(Math.abs((await norm(roundingEngine("float16"), 1024)) / want - 1)).toBeLessThan(0.1);
  });
});
