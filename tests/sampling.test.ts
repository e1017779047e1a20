import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startStack, type Stack } from "../cli/stack/stack";
import { openOnnx } from "../shared/engine/onnx";
import { DecidedBy } from "../shared/proto/lathe/v1/result";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { AlgorithmKind, type SearchSpec } from "../shared/proto/lathe/v1/spec";
import { DiscretizationServiceClient } from "../shared/proto/lathe/v1/discretization";
import { connect } from "../shared/rpc/client";
import { childrenOf, programOf } from "../shared/testing/processes";
import { until } from "../shared/testing/until";
import { compiled } from "./compiled";
import { digests, nameOf, outcome } from "./outcome";
import { sizes, smallSpec } from "./specs";
import { SERVICE_ENV, System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

const sorted = (events: readonly unknown[]) => events.map((event) => JSON.stringify(event)).sort();
/** Process ids of the training processes of all workers that already run their own program. */
const trainersOf = (stack: Stack) =>
  stack
    .pids()
    .flatMap(childrenOf)
    .filter((pid) => programOf(pid).includes(join("supernet", "training", "worker")));
/** Resolves once two networks are trained at once: while the first trainer stands still, another begins. */
async function overlapping(stack: Stack): Promise<void> {
  const first = await until(() => trainersOf(stack)[0]);
  process.kill(first!, "SIGSTOP");
  await until(() => trainersOf(stack).some((pid) => pid !== first)).finally(() => process.kill(first!, "SIGCONT"));
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe.each([
  // The budget is 192 images, of which 2 * 8 / 3 go into evaluation: 23 steps of 4 images for each of two networks, in 6 epochs.
  ["random", AlgorithmKind.ALGORITHM_KIND_RANDOM, 0, { epochs: 12, networks: 2, images: 4 * 46 + 16 / 3 }],
  // 6 * (8 + 16) / 3 go into evaluation: 36 steps for the supernet, in 9 epochs.
  ["evolution", AlgorithmKind.ALGORITHM_KIND_EVOLUTION, 4, { epochs: 9, networks: 6, images: 4 * 36 + 48 }],
])("a search by %s", (_name, kind, pyramidChannels, { epochs, networks, images }) => {
  const spec: SearchSpec = smallSpec({
    algorithm: { kind },
    // 0: the search head; above 0: the head of retraining.
    space: {
      ...{ ...sizes, pyramidChannels },
      ...(pyramidChannels > 0 && {
        headWidths: { joined: [sizes.stages[1]!.channels], pyramid: [0, 2, 4], detail: [] },
      }),
    },
    cost: { target: 0.8 },
    sampling: { candidates: 2, evaluations: 6, population: 3, tournament: 2, costTolerance: 0.3 },
  });
  let id: string;
  let undisturbed: unknown[];
  let files: Record<string, string>;

  it("trains, evaluates, chooses, retrains and measures", async () => {
    const { search, history } = await system.run(spec);
    id = search.id;
    undisturbed = outcome(history);
    files = digests(history);
    expect(search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const names = history.map(nameOf);
    expect(names.filter((name) => name.startsWith("sampling.epoch.completed"))).toEqual(
      range(epochs).map((epoch) => `sampling.epoch.completed ${epoch}`),
    );
    expect(names.filter((name) => name.startsWith("candidate.evaluated"))).toEqual(
      range(networks).map((index) => `candidate.evaluated ${index}`),
    );
    expect(names.slice(epochs + networks + 1)).toEqual([
      "architecture.derived",
      ...range(3).map((epoch) => `retraining.epoch.completed ${epoch}`),
      ...["network.trained", "network.profiled", "search.succeeded"],
    ]);
    const { result } = search;
    expect(result).toMatchObject({
      decidedBy: DecidedBy.DECIDED_BY_SELECTION,
      ...{ supernetMiou: 0, discretizationGap: 0, candidatesLeft: 0, candidatesEvaluated: networks, costTarget: 0.8 },
    });
    expect(result?.trainingImages).toBeCloseTo(images, 6);
    const figures = history.flatMap(({ event }) =>
      event.type === "candidate.evaluated" ? [event.data.validationMiou] : [],
    );
    expect(result?.discreteMiou).toBe(Math.max(...figures));
    expect(result?.costRatio).toBeLessThanOrEqual(0.8);
    expect(result?.costRatio).toBeGreaterThanOrEqual(0.7 * 0.8);
    expect(result?.retrainedMiou).toBeGreaterThan(0);
    expect(result?.searchSeconds).toBeGreaterThan(0);
    expect(result?.provenance?.engine).toMatch(/^onnxruntime\/cpu \d/);
    expect(result?.artifacts.map(({ kind: of }) => of)).toEqual(
      expect.arrayContaining(["derived.onnx", "derived.weights", "network.onnx", "network.weights"]),
    );
  });

  it("offers the network as it was chosen, and no supernet to evaluate other networks", async () => {
    const discretization = connect(DiscretizationServiceClient, system.stack.addresses().discretization.grpc);
    const chunks: Uint8Array[] = [];
    const request = { searchId: id, inputHeight: 64, inputWidth: 32, inherited: true, form: 0 };
    for await (const { chunk } of discretization.api.exportNetwork(request)) chunks.push(chunk);
    discretization.close();
    const model = await openOnnx(Buffer.concat(chunks));
    // At 1/8 with the search head, at 1/4 with that of retraining.
    expect(model.outputs.logits?.shape).toEqual([1, 11, ...(pyramidChannels > 0 ? [16, 8] : [8, 4])]);
    await model.release();
    const { result } = await system.get(id);
    await expect(
      system.supernet.api.evaluateArchitecture({ searchId: id, genotype: result?.genotype }),
    ).rejects.toMatchObject({ code: "FAILED_PRECONDITION", reason: "NO_SUPERNET" });
  });

  it("has a bit-equal result where two workers share its networks", async () => {
    const stack = await startStack({
      ...{ folder: mkdtempSync(join(tmpdir(), "lathe-")), services: join(compiled(), "services"), env: SERVICE_ENV },
      workers: 2,
    });
    const two = await System.on(stack);
    const atOnce = kind === AlgorithmKind.ALGORITHM_KIND_RANDOM;
    const [{ search, history }] = await Promise.all([two.run(spec), atOnce && overlapping(stack)]).finally(() =>
      two.stop(),
    );
    expect(search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(history.map(nameOf).sort()).toEqual((await system.history(id)).map(nameOf).sort());
    expect(digests(history)).toEqual(files);
    expect(search.result).toMatchObject({ candidatesEvaluated: networks });
    expect(search.result?.trainingImages).toBeCloseTo(images, 6);
  });

  it("has a bit-equal result where its training process and service are killed", async () => {
    const again = await system.begin(spec);
    await system.event(again, "sampling.epoch.completed", 2);
    await system.killTrainer();
    await system.event(again, "candidate.evaluated", 1);
    system.stack.kill("supernet");
    expect((await system.ended(again)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const history = await system.history(again);
    // The networks of random are items of their own: while one comes again, another may be taken.
    const order = kind === AlgorithmKind.ALGORITHM_KIND_RANDOM ? sorted : (events: unknown[]) => events;
    expect(order(outcome(history))).toEqual(order(undisturbed));
    expect(digests(history)).toEqual(files);
  });
});
