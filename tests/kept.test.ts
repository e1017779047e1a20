import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { WORK_STREAM } from "../shared/events/subjects";
import type { NetworkKept } from "../shared/proto/lathe/v1/events";
import { ConditionStatus, SearchState, type Search } from "../shared/proto/lathe/v1/search";
import { AlgorithmKind, DatasetKind, type SearchSpec } from "../shared/proto/lathe/v1/spec";
import { resolve } from "../shared/spec/resolve";
import { childrenOf, isAlive, programOf } from "../shared/testing/processes";
import { onnxMiou } from "../shared/testing/score";
import { until } from "../shared/testing/until";
import { startCommand } from "./latheCommand";
import { endlessSpec, longSpec, smallSpec } from "./specs";
import { newFolder, System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

const cancel = (searchId: string) => system.search.api.cancelSearch({ searchId, reason: "enough" });
const kept = async (id: string) => (await system.event(id, "network.kept")).event.data as NetworkKept;

/** A search once it says what is kept of it. */
const settled = (id: string): Promise<Search> =>
  until(
    () => system.get(id),
    ({ conditions }) => conditions.some(({ type }) => type === "Kept"),
  );

/** Cancels a search after an event, and checks what is kept of it: listed, downloadable, and of the mIoU that is recorded. */
async function cancelledAfter(
  spec: SearchSpec,
  ...event: Parameters<System["event"]> extends [string, ...infer E] ? E : never
) {
  const id = await system.begin(spec);
  await system.event(id, ...event);
  expect((await cancel(id)).search?.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
  const data = await kept(id);
  const search = await settled(id);
  expect(search).toMatchObject({
    state: SearchState.SEARCH_STATE_CANCELLED,
    conditions: expect.arrayContaining([
      expect.objectContaining({
        ...{ type: "Kept", status: ConditionStatus.CONDITION_STATUS_TRUE, message: data.message },
      }),
    ]) as unknown,
  });
  const { artifacts } = await system.search.api.listArtifacts({ searchId: id });
  const onnx = artifacts.find(({ object }) => object === data.onnx?.object)!;
  const bytes = await system.download(id, onnx.object);
  expect(await onnxMiou(bytes, resolve(spec).spec, data.genotype!)).toBeCloseTo(data.validationMiou, 6);
  expect(artifacts.map(({ object }) => object)).toContain(data.weights?.object);
  return { data, search };
}

describe("of a search that is cancelled", () => {
  it("while it searches, the argmax of the newest epoch is kept", async () => {
    const { data, search } = await cancelledAfter(endlessSpec(), "epoch.completed", 1);
    expect(data).toMatchObject({ phase: "train", onnx: { kind: "derived.onnx" } });
    expect(search.result).toMatchObject({ genotype: data.genotype, discreteMiou: data.validationMiou });
    const folder = newFolder();
    const at = ["--address", system.stack.addresses().search.grpc];
    const result = startCommand(folder, ["search", "result", search.id, "--out", "out", ...at]);
    const watching = startCommand(folder, ["search", "watch", search.id, ...at]);
    expect({ code: await result.ended, stderr: result.said.stderr }).toEqual({ code: 0, stderr: "" });
    expect(result.said.stdout).toContain(`search ${search.id}, cancelled; kept: ${data.message}\n`);
    const files = ["derived.onnx", "derived.weights", "epochs.csv", "genotype.json", "history.jsonl", "result.json"];
    expect(readdirSync(join(folder, "out"))).toEqual(expect.arrayContaining(files));
    expect(await watching.ended).toBe(4);
    expect(watching.said.stdout).toContain(`kept: ${data.message}\n`);
    rmSync(folder, { recursive: true });
  });

  it("while it retrains, the best epoch is kept", async () => {
    const spec = smallSpec({ retraining: { epochs: 1000, batchSize: 4, pyramidChannels: 4 } });
    const { data, search } = await cancelledAfter(spec, "retraining.epoch.completed", 3);
    expect(data).toMatchObject({ phase: "retrain", onnx: { kind: "network.onnx" } });
    const epochs = (await system.history(search.id)).flatMap(({ event }) =>
      event.type === "retraining.epoch.completed" ? [event.data] : [],
    );
    expect(data.validationMiou).toBe(Math.max(...epochs.map(({ validationMiou = 0 }) => validationMiou)));
    expect(epochs[data.epoch - 1]?.validationMiou).toBe(data.validationMiou);
    expect(search.result).toMatchObject({ retrainedMiou: data.validationMiou, retrainedBestEpoch: data.epoch });
    // The third epoch is not evaluated.
    expect(epochs[2]?.validationMiou).toBeUndefined();
    expect(search.result?.retrainedMiouClasses).toBe(epochs[0]?.miouClasses);
    expect(search.result?.retrainedMiouClasses).toBeGreaterThan(0);
  });

  it("while it evaluates networks at random, the best of them is kept", async () => {
    const spec = longSpec({
      algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_RANDOM },
      cost: { target: 0.8 },
      sampling: { candidates: 4, costTolerance: 0.3 },
    });
    const { data } = await cancelledAfter(spec, "candidate.evaluated", 1);
    expect(data).toMatchObject({ phase: "train", onnx: { kind: "derived.onnx" } });
  });

  it("before the end of its first epoch, nothing is kept, and the search says so", async () => {
    const dataset = { kind: DatasetKind.DATASET_KIND_STREETS, trainExamples: 800, validationExamples: 8 };
    const id = await system.begin(endlessSpec({ dataset }));
    await system.inEpoch(id, 1);
    await cancel(id);
    expect((await settled(id)).conditions).toContainEqual(
      expect.objectContaining({ type: "Kept", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "NOT_TRAINED" }),
    );
    expect((await system.search.api.listArtifacts({ searchId: id })).artifacts).toEqual([]);
  });
});

describe("while a network is being kept", () => {
  /** Process ids of the children of the discretization service that already run their own program. */
  const keepers = () =>
    childrenOf(system.stack.addresses().discretization.pid).filter((pid) => programOf(pid).includes("worker"));
  async function keeping(): Promise<{ id: string; pid: number }> {
    const id = await system.begin(endlessSpec());
    await system.event(id, "epoch.completed", 1);
    await cancel(id);
    const [pid] = await until(keepers, (pids) => pids.length > 0);
    return { id, pid: pid! };
  }

  it("the death of the service only delays it", async () => {
    const { id, pid } = await keeping();
    process.kill(pid, "SIGSTOP");
    system.stack.kill("discretization");
    process.kill(pid, "SIGCONT");
    const { genotype, onnx } = await kept(id);
    expect(genotype).toBeDefined();
    expect((await settled(id)).artifacts.map(({ object }) => object)).toContain(onnx?.object);
    expect((await system.history(id)).filter(({ event }) => event.type === "network.kept")).toHaveLength(1);
    await until(() => !isAlive(pid));
  });

  it("a deletion removes all of it", async () => {
    const { id, pid } = await keeping();
    process.kill(pid, "SIGSTOP");
    await system.search.api.deleteSearch({ searchId: id });
    await until(() => !isAlive(pid));
    await until(
      () => system.stream(WORK_STREAM),
      ({ messages }) => messages === 0,
    );
    await expect(system.get(id)).rejects.toMatchObject({ code: "NOT_FOUND" });
    // A later search has its network kept.
    const { data } = await cancelledAfter(endlessSpec({ seed: 8 }), "epoch.completed", 1);
    expect(data.genotype).toBeDefined();
    expect(await system.history(id)).toEqual([]);
  });
});
