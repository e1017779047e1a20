import { setTimeout as pause } from "node:timers/promises";
import { Objects } from "../shared/events/objects";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../shared/events/subjects";
import { HealthClient, HealthCheckResponse_ServingStatus as Serving } from "../shared/proto/grpc/health/v1/health";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { connect } from "../shared/rpc/client";
import { nameOf, outcome } from "./outcome";
import { longSpec, smallSpec } from "./specs";
import { isAlive, PATIENCE_MS, System } from "./system";

jest.setTimeout(2 * PATIENCE_MS);

/** Seconds, not epochs: what a command may take to reach the training process. */
const promptMs = 5_000;

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

/** Latency of calls that are made all the time until the work is done, in ms, ascending. */
async function latencies(work: Promise<unknown>, calls: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  let done = false;
  const ending = work.finally(() => (done = true));
  const taken: number[] = [];
  while (!done) {
    for (const call of calls) {
      const started = performance.now();
      await call();
      taken.push(performance.now() - started);
    }
    await pause(10);
  }
  await ending;
  return taken.sort((a, b) => a - b);
}

describe("during training", () => {
  let undisturbed: unknown[];

  it("records, health and status answer at once", async () => {
    const health = connect(HealthClient, system.stack.addresses().supernet.grpc);
    const id = await system.begin(longSpec());
    let steps = 0;
    const taken = await latencies(system.ended(id), [
      () => system.get(id),
      async () => expect(await health.api.check({ service: "" })).toEqual({ status: Serving.SERVING }),
      async () => {
        const { progress, residentBytes } = await system.supernet.api.getTrainingStatus({});
        if (!progress || residentBytes === 0) return;
        expect(residentBytes).toBeGreaterThan(50e6);
        steps++;
      },
    ]);
    health.close();
    undisturbed = outcome(await system.history(id));
    expect(steps).toBeGreaterThan(10);
    const p99 = taken[Math.floor(0.99 * (taken.length - 1))]!;
    // 100 ms on a machine that does nothing else; here other tests run.
    expect(p99).toBeLessThan(1000);
  });

  it("a pause stops the epoch in hand, and a resume goes on to the same end", async () => {
    const id = await system.begin(longSpec());
    await system.event(id, "epoch.completed", 2);
    const [trainer] = system.trainers();
    const { search } = await system.search.api.pauseSearch({ searchId: id });
    expect(search?.state).toBe(SearchState.SEARCH_STATE_PAUSED);
    await system.until(
      () => isAlive(trainer!),
      (alive) => !alive,
      promptMs,
    );
    await system.until(
      () => system.supernet.api.getTrainingStatus({}),
      ({ searchId }) => searchId === "",
      promptMs,
    );
    await pause(1000);
    const events = (await system.history(id)).map(nameOf);
    expect(events.filter((name) => name.startsWith("epoch.completed"))).toHaveLength(2);
    expect(events).toContain("search.paused");
    expect((await system.get(id)).state).toBe(SearchState.SEARCH_STATE_PAUSED);
    expect(system.trainers()).toEqual([]);
    // Twice is once.
    await system.search.api.pauseSearch({ searchId: id });

    const resumed = await system.search.api.resumeSearch({ searchId: id });
    expect(resumed.search).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 1 });
    expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    const history = await system.history(id);
    expect(history.filter(({ event }) => event.type === "search.paused")).toHaveLength(1);
    expect(outcome(history)).toEqual(undisturbed);
  });

  it("a cancellation ends the training process, and what was found stays", async () => {
    const id = await system.begin(longSpec());
    await system.event(id, "epoch.completed", 1);
    const [trainer] = system.trainers();
    const { search } = await system.search.api.cancelSearch({ searchId: id, reason: "enough" });
    expect(search?.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
    await system.until(
      () => isAlive(trainer!),
      (alive) => !alive,
      promptMs,
    );
    const history = await system.history(id);
    expect(history.at(-1)?.event).toEqual({ type: "search.cancelled", data: { reason: "enough" } });
    expect(await new Objects(system.bus, CHECKPOINTS_BUCKET).list(`${id}/`)).toHaveLength(1);
    await expect(system.search.api.resumeSearch({ searchId: id })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SEARCH_STATE",
    });
    await pause(500);
    expect(await system.history(id)).toEqual(history);
  });
});

it("a cancellation in retraining leaves the derived network to download", async () => {
  const id = await system.begin(longSpec({ retraining: { epochs: 1000, batchSize: 4, pyramidChannels: 4 } }));
  await system.event(id, "retraining.epoch.completed", 2);
  const [trainer] = system.trainers();
  await system.search.api.cancelSearch({ searchId: id, reason: "" });
  await system.until(
    () => isAlive(trainer!),
    (alive) => !alive,
    promptMs,
  );
  const { state, artifacts } = await system.get(id);
  expect(state).toBe(SearchState.SEARCH_STATE_CANCELLED);
  const onnx = artifacts.find(({ kind }) => kind === "derived.onnx")!;
  expect(await system.download(id, onnx.object)).toHaveLength(onnx.sizeBytes);
  expect(await new Objects(system.bus, ARTIFACTS_BUCKET).list(`${id}/`)).toHaveLength(2);
});

it("two searches at once are trained one after the other", async () => {
  const [first, second] = [await system.begin(smallSpec()), await system.begin(smallSpec({ seed: 8 }))];
  await system.event(first, "epoch.completed", 1);
  expect((await system.get(second)).state).toBe(SearchState.SEARCH_STATE_PENDING);
  for (const id of [first, second]) expect((await system.ended(id)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
  const converged = (await system.event(first, "supernet.converged")).sequence;
  expect((await system.event(second, "epoch.completed", 1)).sequence).toBeGreaterThan(converged);
});
