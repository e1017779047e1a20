import { Objects } from "../shared/events/objects";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../shared/events/subjects";
import { HealthClient, HealthCheckResponse_ServingStatus as Serving } from "../shared/proto/grpc/health/v1/health";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { connect } from "../shared/rpc/client";
import { until } from "../shared/testing/until";
import { nameOf, outcome } from "./outcome";
import { longSpec, smallSpec } from "./specs";
import { System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

describe("during training", () => {
  let undisturbed: unknown[];

  it("the services answer GetSearch, health and GetTrainingStatus while steps run", async () => {
    const health = connect(HealthClient, system.stack.addresses().supernet.grpc);
    const id = await system.begin(longSpec());
    let ended = false;
    const ending = system.ended(id).finally(() => (ended = true));
    /** Steps during which all three calls were answered. */
    const during = new Set<string>();
    while (!ended) {
      await system.get(id);
      expect(await health.api.check({ service: "" })).toEqual({ status: Serving.SERVING });
      const { progress, residentBytes } = await system.supernet.api.getTrainingStatus({});
      if (!progress || residentBytes === 0) continue;
      expect(residentBytes).toBeGreaterThan(50e6);
      during.add(`${progress.phase} ${progress.epoch} ${progress.step}`);
    }
    await ending;
    health.close();
    undisturbed = outcome(await system.history(id));
    // Services that answer only between epochs would be seen at no more steps than there are epochs.
    expect(during.size).toBeGreaterThan(6);
  });

  it("a pause stops the running epoch, and a resumption leads to the same result", async () => {
    const id = await system.begin(longSpec());
    await system.event(id, "epoch.completed", 2);
    const { search } = await system.search.api.pauseSearch({ searchId: id });
    expect(search?.state).toBe(SearchState.SEARCH_STATE_PAUSED);
    await system.trainersGone();
    await until(
      () => system.supernet.api.getTrainingStatus({}),
      ({ searchId }) => searchId === "",
    );
    const before = await system.history(id);
    expect(before.map(nameOf)).toContain("search.paused");
    expect(before.map(nameOf)).not.toContain("supernet.converged");
    // The trainer carries out a whole other search, while the paused one does not change.
    expect((await system.run(smallSpec())).search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(await system.history(id)).toEqual(before);
    expect((await system.get(id)).state).toBe(SearchState.SEARCH_STATE_PAUSED);
    // A repeated call has no further effect.
    await system.search.api.pauseSearch({ searchId: id });

    const resumed = await system.search.api.resumeSearch({ searchId: id });
    expect(resumed.search).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 1 });
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const history = await system.history(id);
    expect(history.filter(({ event }) => event.type === "search.paused")).toHaveLength(1);
    expect(outcome(history)).toEqual(undisturbed);
  });

  it("a cancellation ends the training process, and the results so far stay", async () => {
    const id = await system.begin(longSpec());
    await system.event(id, "epoch.completed", 1);
    const { search } = await system.search.api.cancelSearch({ searchId: id, reason: "enough" });
    expect(search?.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
    await system.trainersGone();
    await system.event(id, "network.kept");
    const history = await system.history(id);
    expect(history.at(-2)?.event).toEqual({ type: "search.cancelled", data: { reason: "enough" } });
    expect(await new Objects(system.bus, CHECKPOINTS_BUCKET).list(`${id}/`)).toHaveLength(1);
    await expect(system.search.api.resumeSearch({ searchId: id })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SEARCH_STATE",
    });
    expect((await system.run(smallSpec())).search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(await system.history(id)).toEqual(history);
  });
});

it("after a cancellation during retraining the derived network can be downloaded", async () => {
  const id = await system.begin(longSpec({ retraining: { epochs: 1000, batchSize: 4, pyramidChannels: 4 } }));
  await system.event(id, "retraining.epoch.completed", 2);
  await system.search.api.cancelSearch({ searchId: id, reason: "" });
  await system.trainersGone();
  const { state, artifacts } = await system.get(id);
  expect(state).toBe(SearchState.SEARCH_STATE_CANCELLED);
  const onnx = artifacts.find(({ kind }) => kind === "derived.onnx")!;
  expect(await system.download(id, onnx.object)).toHaveLength(onnx.sizeBytes);
  // Beside it, the best epoch of retraining is kept, with its deploy form.
  await system.event(id, "network.kept");
  expect(await new Objects(system.bus, ARTIFACTS_BUCKET).list(`${id}/`)).toHaveLength(5);
});

it("two searches at once are trained one after the other", async () => {
  const [first, second] = [await system.begin(smallSpec()), await system.begin(smallSpec({ seed: 8 }))];
  await system.event(first, "epoch.completed", 1);
  expect((await system.get(second)).state).toBe(SearchState.SEARCH_STATE_PENDING);
  for (const id of [first, second]) expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
  const converged = (await system.event(first, "supernet.converged")).sequence;
  expect((await system.event(second, "epoch.completed", 1)).sequence).toBeGreaterThan(converged);
});
