import { openOnnx } from "../shared/engine/onnx";
import { DecidedBy } from "../shared/proto/lathe/v1/result";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { AlgorithmKind, type SearchSpec } from "../shared/proto/lathe/v1/spec";
import { DiscretizationServiceClient } from "../shared/proto/lathe/v1/discretization";
import { connect } from "../shared/rpc/client";
import { networkCosts } from "../shared/space/networkCosts";
import { digests, nameOf, outcome } from "./outcome";
import { smallSpec } from "./specs";
import { System } from "./system";

/** So many epochs that a disturbance in the first ones leaves most of them to come, on any machine. */
const epochs = 16;
const pyramidChannels = 4;
const genotype = {
  inputHeight: 32,
  inputWidth: 64,
  classes: 11,
  stemChannels: 4,
  stages: [
    { channels: 8, blocks: [{ dilation: 1, scale: 1, middleWidth: 6, outputWidth: 5 }] },
    { channels: 12, blocks: [{ dilation: 2, scale: 2, middleWidth: 12, outputWidth: 9 }] },
  ],
};

/** Trains the network above, in the space of that network. */
function givenSpec(): SearchSpec {
  const spec = smallSpec({ retraining: { epochs, batchSize: 4, pyramidChannels } });
  spec.dataset!.trainExamples = 160;
  return { ...spec, space: undefined, algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype } };
}

let system: System;
let id: string;
let undisturbed: unknown[];
let files: Record<string, string>;
beforeAll(async () => {
  system = await System.start();
  const { search, history } = await system.run(givenSpec());
  id = search.id;
  undisturbed = outcome(history);
  files = digests(history);
});
afterAll(() => system.stop());

describe("a given network", () => {
  it("is trained and measured without a search", async () => {
    const history = await system.history(id);
    expect(history.map(nameOf)).toEqual([
      "search.created",
      ...Array.from({ length: epochs }, (_, index) => `retraining.epoch.completed ${index + 1}`),
      "network.trained",
      "network.profiled",
      "search.succeeded",
    ]);
    const { state, result, candidatesLeft } = await system.get(id);
    expect(state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(result).toMatchObject({
      genotype,
      decidedBy: DecidedBy.DECIDED_BY_UNSPECIFIED,
      figures: networkCosts(genotype, { kind: "aggregation", pyramidChannels }),
      ...{ candidatesStart: 0, log10SpaceStart: 0, supernetMiou: 0, discretizationGap: 0, searchSeconds: 0 },
    });
    expect(candidatesLeft).toBe(0);
    expect(result?.retrainedMiou).toBeGreaterThan(0.05);
    expect(result?.latency?.p50Seconds).toBeGreaterThan(0);
    expect(result?.provenance?.engine).toMatch(/^onnxruntime\/cpu \d/);
    expect(result?.artifacts.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(["network.onnx", "network.weights", "predictions/1.png"]),
    );
  });

  it("is exported at another size, and there is no network with inherited weights", async () => {
    const discretization = connect(DiscretizationServiceClient, system.stack.addresses().discretization.grpc);
    const request = { searchId: id, inputHeight: 48, inputWidth: 32, inherited: false, form: 0 };
    const chunks: Uint8Array[] = [];
    for await (const { chunk } of discretization.api.exportNetwork(request)) chunks.push(chunk);
    const model = await openOnnx(Buffer.concat(chunks));
    expect(model.outputs.logits?.shape).toEqual([1, 11, 48, 32]);
    await model.release();
    const none = async () => {
      for await (const _ of discretization.api.exportNetwork({ ...request, inherited: true }))
        throw new Error("a chunk came");
    };
    await expect(none()).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "NO_NETWORK" });
    discretization.close();
  });

  it("has bit-equal weights after a pause, a resumption and kills of its training process and service", async () => {
    const again = await system.begin(givenSpec());
    await system.inEpoch(again, 2);
    await system.search.api.pauseSearch({ searchId: again });
    await system.trainersGone();
    expect((await system.history(again)).map(nameOf)).not.toContain("network.trained");
    const { search } = await system.search.api.resumeSearch({ searchId: again });
    expect(search).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 1 });
    const { epoch } = (await system.history(again))
      .flatMap(({ event }) => (event.type === "retraining.epoch.completed" ? [event.data] : []))
      .at(-1)!;
    await system.inEpoch(again, epoch + 1);
    await system.killTrainer();
    await system.event(again, "retraining.epoch.completed", epoch + 1);
    system.stack.kill("supernet");
    expect((await system.ended(again)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const history = await system.history(again);
    expect(outcome(history)).toEqual(undisturbed);
    expect(digests(history)).toEqual(files);
  });

  it("is cancelled like any search", async () => {
    const cancelled = await system.begin(givenSpec());
    await system.event(cancelled, "retraining.epoch.completed", 1);
    await system.search.api.cancelSearch({ searchId: cancelled, reason: "enough" });
    expect((await system.ended(cancelled)).state).toBe(SearchState.SEARCH_STATE_CANCELLED);
  });
});
