import { createEngine, type Arrays, type Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import type { Supernet } from "../../../shared/network/supernet";
import { costOfLargest, macsTable } from "../../../shared/space/cost";
import { noise, smallSpace } from "../../../shared/testing/networks";
import { dropoutFactors } from "./running";

export const space = smallSpace();
export const BATCH = 2;
export const shape = { batchSize: BATCH, height: 32, width: 64, stride: 8, classes: 5 };
const table = macsTable(space);
export const alphaLoss = {
  table,
  largestCost: costOfLargest(space, table),
  target: 0.2,
  ssr: { depth: 30, operation: 20, outputWidth: 15, middleWidth: 10 },
  weightDecay: 1e-3,
};

export let onnx: Engine;

beforeAll(async () => {
  onnx = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
});

export function batch(supernet: Pick<Supernet, "dropouts">, random: () => number, stride = 8): Arrays {
  return {
    images: noise(BATCH * 3 * 32 * 64, random).map(Math.abs),
    labels: Int32Array.from({ length: (BATCH * 32 * 64) / stride ** 2 }, () =>
      random() < 0.1 ? 255 : Math.floor(random() * 5),
    ),
    classWeights: Float32Array.of(1, 3, 2, 5, 4),
    ...dropoutFactors(supernet.dropouts, BATCH, createRandom(1)),
  };
}
