import * as ort from "onnxruntime-node";
import { KINDS } from "../shared/space/kinds/kinds";
import { networkCosts } from "../shared/space/networkCosts";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { smallSpec } from "./specs";
import { System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

const stage = (channels: number) => ({ channels, minDepth: 1, maxDepth: 2, widths: [channels / 2, channels] });
const kinds = KINDS.map(({ kind }) => kind);

/** Channels of the pyramid in the search, and input pixels per cell of the derived network's logits. */
const heads: [string, number, number][] = [
  ["the search head", 0, 8],
  ["the head of retraining, whose widths are searched,", 4, 4],
];

it.each(heads)(
  "every kind of operation, three stages and %s give a network without a gap, which ONNX Runtime runs",
  async (_, pyramidChannels, stride) => {
    const space = {
      pyramidChannels,
      ...(pyramidChannels > 0 && { headWidths: { joined: [6, 12], pyramid: [0, 4], detail: [4, 8] } }),
      ...{ inputHeight: 32, inputWidth: 64, stemChannels: 4, stages: [stage(8), stage(12), stage(16)] },
      ...{ dilations: [1], scales: [1], kinds },
    };
    const training = { epochs: 12, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.5 };
    const retraining = { epochs: 3, batchSize: 4, pyramidChannels: 4, inheritWeights: true };
    const { search } = await system.run(smallSpec({ space, training, retraining }));
    expect(search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const { result } = search;
    expect(Math.abs(result!.discretizationGap)).toBeLessThan(1e-6);
    const stored = async (kind: string) => {
      const ref = result!.artifacts.find((artifact) => artifact.kind === kind);
      return system.download(search.id, ref!.object);
    };
    const genotype = result!.genotype!;
    expect(genotype.stages).toHaveLength(3);
    expect(result!.figures).toEqual(networkCosts(genotype, { kind: "aggregation", pyramidChannels: 4 }));
    for (const [kind, cell] of [
      ["derived.onnx", stride],
      ["network.onnx", 1],
    ] as const) {
      const session = await ort.InferenceSession.create(await stored(kind));
      const image = new ort.Tensor("float32", new Float32Array(3 * 32 * 64), [1, 3, 32, 64]);
      const { logits } = await session.run({ image });
      await session.release();
      expect([kind, logits!.dims]).toEqual([kind, [1, genotype.classes, 32 / cell, 64 / cell]]);
    }
  },
);
