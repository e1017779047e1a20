import { type Arrays, type Engine } from "../engine/engine";
import { fromBlocked, intoBlocked } from "../engine/nchwc/layout";
import { filledUp, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import { manifest, unpack } from "../engine/parameters";
import { relativeDifference } from "../testing/parity";
import { tf } from "../engine/tf";
import { noise, randomBuffer } from "../testing/networks";
import { portableEngine, TILE_SIZES } from "../testing/portableTiles";
import { uniform } from "../testing/spaces";
import { blockedReduction, blockedStem } from "./blocked";
import { blockedLayout, toBlockedOrder, toPlainOrder } from "./blockedLayout";
import { declareReduction, reduction } from "./blocks";
import { axis, tensorTable, type Declaration } from "./declaration";
import { EPSILON, trainingNorm } from "./layers";

const [BATCH, HEIGHT, WIDTH] = [2, 8, 16];

/** Output of a reduction in plain and in blocked layout, and the derivatives of a weighted sum of it. */
async function both(onnx: Engine, tile: number, name: string, inputs: number, convolution: number, present: boolean) {
  const random = uniform(convolution);
  const declaration: Declaration = { weights: [], stats: [] };
  declareReduction(declaration, name, axis("input", inputs), convolution);
  const plain = tensorTable(declaration.weights);
  const plan: ReductionPlan = {
    ...{ tile, batch: BATCH, height: HEIGHT, width: WIDTH },
    ...{ inputs, convolution, epsilon: EPSILON },
  };
  const plans = { mixtures: new Map(), reductions: new Map([[name, plan]]) };
  const layout = blockedLayout(plain, plans);
  const blocked = manifest(layout.entries);
  const outputs = convolution + inputs;
  const images = name === "stem";
  const shape = { x: [BATCH, inputs, HEIGHT, WIDTH], y: [BATCH, outputs, HEIGHT / 2, WIDTH / 2] } as const;
  const factors = noise(BATCH * outputs * (HEIGHT / 2) * (WIDTH / 2), random);
  const values = {
    weights: randomBuffer(plain, random),
    // Zeros as after a ReLU: where a whole pooling window is 0, its gradient is shared.
    x: noise(BATCH * inputs * HEIGHT * WIDTH, random).map((value) => Math.max(value, 0)),
    presence: noise(inputs, random),
  };
  const run = async (formulation: "plain" | "blocked") => {
    const weights = formulation === "plain" ? values.weights : toBlockedOrder(values.weights, layout);
    const compiled = await onnx.compile(
      (given) => {
        const of = (flat: tf.Tensor, x: tf.Tensor, presence: tf.Tensor): tf.Tensor => {
          const norm = trainingNorm(() => undefined);
          const mask = present ? presence : undefined;
          const tensors = unpack(flat as tf.Tensor1D, formulation === "plain" ? plain : blocked);
          if (formulation === "plain") return reduction(tensors, name, x, norm, mask);
          const y = images
            ? blockedStem(tensors, plan, x, norm)
            : blockedReduction(tensors, name, plan, intoBlocked(x, filledUp(plan).input), norm, mask);
          return fromBlocked(y, shape.y);
        };
        const loss = (...[flat, ...others]: tf.Tensor[]): tf.Scalar => {
          const [x, presence] = images ? [given.x, given.presence] : others;
          return tf.sum(tf.mul(of(flat!, x!, presence ?? given.presence!), tf.tensor(factors, [...shape.y])));
        };
        const by = [given.weights!, ...(images ? [] : [given.x!]), ...(present ? [given.presence!] : [])];
        const { grads } = tf.valueAndGrads(loss)(by);
        return {
          y: of(given.weights!, given.x!, given.presence!),
          ...Object.fromEntries(
            ["weights", ...(images ? [] : ["x"]), ...(present ? ["presence"] : [])].map((input, at) => [
              `d_${input}`,
              grads[at]!,
            ]),
          ),
        };
      },
      {
        weights: { shape: [weights.length], dtype: "float32" },
        x: { shape: [...shape.x], dtype: "float32" },
        presence: { shape: [inputs], dtype: "float32" },
      },
    );
    const results = await compiled.run({ ...values, weights });
    await compiled.release();
    return results;
  };
  const [want, got] = [await run("plain"), await run("blocked")];
  const moved = got.d_weights as Float32Array;
  const plainly: Arrays = { ...got, d_weights: toPlainOrder(moved, layout) };
  return { want, got: plainly, moved, layout };
}

describe.each(TILE_SIZES)("with tiles of %d", (tile) => {
  let onnx: Engine;
  beforeAll(async () => {
    onnx = await portableEngine(tile);
  });

  describe("a reduction in blocked layout has the output and the derivatives of the plain one", () => {
    it.each([
      ["where it adds whole tiles", "a/reduction", 16, 16, false],
      ["where its input is no whole tile", "a/reduction", 14, 32, true],
      ["where it adds no whole tile", "a/reduction", 9, 20, true],
      ["where what it adds and its input share one tile", "a/reduction", 3, 4, true],
      ["where it is the stem", "stem", 3, 5, false],
      ["where the stem fills no whole tile", "stem", 3, 9, false],
    ])("%s", async (_, name, inputs, convolution, present) => {
      const { want, got, moved, layout } = await both(onnx, tile, name, inputs, convolution, present);
      for (const [output, values] of Object.entries(want))
        expect([output, relativeDifference(got[output]!, values) < 1e-5]).toEqual([output, true]);
      // Padding of tiles gets no gradient.
      expect(moved.filter((_, at) => layout.source[at] === -1 && moved[at] !== 0)).toHaveLength(0);
    });
  });
});
