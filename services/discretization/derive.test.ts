import { createEngine, type Engine } from "../../shared/engine/engine";
import { openOnnx } from "../../shared/engine/onnx";
import { openDataset, datasetOptions } from "../../shared/data/open";
import { discreteEvaluator, supernetEvaluator } from "../../shared/evaluation/evaluate";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { decodeSupernet } from "../../shared/network/checkpoint";
import { SupernetConverged } from "../../shared/proto/lathe/v1/events";
import type { Architecture } from "../../shared/proto/lathe/v1/space";
import { DecidedBy } from "../../shared/proto/lathe/v1/result";
import { initialArchitecture } from "../../shared/space/groups";
import { searchedHead } from "../../shared/space/head";
import { networkCosts } from "../../shared/space/networkCosts";
import { macsTable } from "../../shared/space/cost";
import { resolve } from "../../shared/spec/resolve";
import { decidedArchitecture } from "../../shared/space/decided";
import { randomGenotype } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { briefSpec, decideAll, trainedCheckpoint } from "../../shared/testing/training";
import { deriveNetwork } from "./derive";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
});

/** A search under one of the heads. */
function searchOf(pyramidChannels: number) {
  const { spec, space } = resolve(briefSpec({ space: { pyramidChannels } }));
  const random = uniform(40);
  const open = initialArchitecture(space);
  open.groups.forEach((group) => (group.alphas = group.alphas.map(() => 2 * random() - 1)));
  const genotype = randomGenotype(space, uniform(41));
  return { spec, space, open, genotype, decided: decidedArchitecture(space, genotype) };
}

/** Derives the network of architecture `said` from a checkpoint of architecture `held`. Returns the stored files by kind. */
async function derived({ spec, space }: ReturnType<typeof searchOf>, held: Architecture, said: Architecture) {
  const files = new Map<string, Uint8Array>();
  const checkpoint = trainedCheckpoint(space, held, 4);
  const converged = SupernetConverged.fromPartial({
    decidedBy: DecidedBy.DECIDED_BY_ARGMAX,
    architecture: said,
    space,
    checkpoint: { object: "s-1/c" },
  });
  const event = await deriveNetwork(
    engine,
    {
      engine: { engine: "onnxruntime", provider: "cpu", threads: 1 },
      spec,
      supernet: converged,
      table: macsTable(space),
      checkpoint,
    },
    {
      store: (kind, bytes, mediaType) => {
        files.set(kind, bytes);
        return Promise.resolve({ object: kind, kind, sizeBytes: bytes.length, sha256: "", mediaType });
      },
      signal: new AbortController().signal,
    },
  );
  return { event, files, checkpoint };
}

describe.each([
  ["the search head", 0, [4, 8]],
  ["the aggregation head", 3, [8, 16]],
])("deriveNetwork under %s", (_, pyramidChannels, cells) => {
  const search = searchOf(pyramidChannels);
  const { spec, space, open, genotype, decided } = search;

  it("measures no gap if the supernet has converged", async () => {
    const { event } = await derived(search, decided, decided);
    expect(event.genotype).toEqual(genotype);
    expect(event.supernetMiou).toBeGreaterThan(0);
    expect(event.discretizationGap).toBe(0);
  });

  it("measures the gap between an undecided supernet and the network that argmax derives from it", async () => {
    const { event, files, checkpoint } = await derived(search, open, decideAll(space, open));
    const { state } = decodeSupernet(space, checkpoint, "c");
    const dataset = await openDataset(datasetOptions(spec, space));
    const even = new Float32Array(space.classes).fill(1);
    // Other batch sizes and the stored files give the same results.
    const supernet = await (
      await supernetEvaluator(engine, state.supernet, 6)
    ).evaluate(
      { weights: state.weights.values, stats: state.stats, alphas: state.alphas.values },
      dataset.validation,
      even,
    );
    const network = buildDiscrete(event.genotype!, searchedHead(space));
    const { weights, stats } = decodeBundle(files.get("derived.weights")!, "it").arrays;
    const discrete = await (
      await discreteEvaluator(engine, network, 6)
    ).evaluate({ weights: weights!, stats: stats! }, dataset.validation, even);
    await dataset.close();
    expect(event.supernetMiou).toBeCloseTo(supernet.miou, 6);
    expect(event.discreteMiou).toBeCloseTo(discrete.miou, 6);
    expect(event.discretizationGap).toBe(event.supernetMiou - event.discreteMiou);
    expect(event.discretizationGap).not.toBe(0);
    expect(event.figures).toEqual(networkCosts(event.genotype!, searchedHead(space)));
    expect(event.decidedBy).toBe(DecidedBy.DECIDED_BY_ARGMAX);
    const model = await openOnnx(files.get("derived.onnx")!);
    expect(model.outputs.logits?.shape).toEqual([1, 11, ...cells]);
    expect(JSON.parse(model.metadata.classes ?? "[]")).toContain("road");
    await model.release();
  });

  it("refuses an event without space or architecture", async () => {
    const converged = SupernetConverged.fromPartial({ space });
    const job = {
      engine: {} as never,
      spec,
      supernet: converged,
      table: macsTable(space),
      checkpoint: new Uint8Array(),
    };
    await expect(deriveNetwork(engine, job, {} as never)).rejects.toMatchObject({ reason: "EVENT_INVALID" });
  });
});
