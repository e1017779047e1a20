import { HealthAlarmKind } from "../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchState } from "../shared/proto/lathe/v1/search";
import { HealthPolicy, HealthSpec, SearchSpec } from "../shared/proto/lathe/v1/spec";
import type { StoredEvent } from "../shared/events/catalog";
import { until } from "../shared/testing/until";
import { nameOf, outcome } from "./outcome";
import { smallSpec } from "./specs";
import { System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system.stop());

const healthOf = async (id: string) => (await system.get(id)).conditions.find(({ type }) => type === "Healthy");
const alarms = (history: StoredEvent[]) =>
  history.flatMap(({ event }) => (event.type === "health.alarm.raised" ? [event.data] : []));
/** Thresholds that raise an alarm after the first epoch. */
const ill = (onGradientNorm: HealthPolicy) =>
  smallSpec({
    health: HealthSpec.fromPartial({ graceEpochs: 0, maxClassShare: 1, maxGradientNorm: 1e-6, onGradientNorm }),
  });

it("a search of preset tiny, with fewer scenes and epochs, raises no alarm", async () => {
  const spec = SearchSpec.fromPartial({
    preset: "tiny",
    dataset: { kind: 1, trainExamples: 96, validationExamples: 16 },
    training: { epochs: 12 },
    retraining: { epochs: 0 },
  });
  const { search, history } = await system.run(spec);
  expect(SearchState[search.state]).toBe("SEARCH_STATE_SUCCEEDED");
  expect(alarms(history)).toEqual([]);
  expect(search.conditions.find(({ type }) => type === "Healthy")).toMatchObject({
    status: ConditionStatus.CONDITION_STATUS_TRUE,
  });
  expect(search.lastEpoch?.health?.bestMiou).toBeGreaterThan(0.1);
});

describe("an alarm", () => {
  const { HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;

  it("with policy REPORT sets a condition and a metric and changes nothing else, also with a SIGKILL after its epoch", async () => {
    const plain = await system.run(ill(REPORT));
    expect(alarms(plain.history)).toMatchObject([
      { kind: HealthAlarmKind.HEALTH_ALARM_KIND_GRADIENT_NORM, epoch: 1, policy: REPORT },
    ]);
    expect(await healthOf(plain.search.id)).toMatchObject({
      status: ConditionStatus.CONDITION_STATUS_FALSE,
      reason: "GRADIENT_NORM",
    });
    const { http } = system.stack.addresses().search;
    expect(await (await fetch(`http://${http}/metrics`)).text()).toContain(
      'nas_search_alarms_total{kind="gradient_norm"} 1',
    );
    const id = await system.begin(ill(REPORT));
    await system.event(id, "epoch.completed", 1);
    system.stack.kill("supernet");
    await system.ended(id);
    expect(outcome(await system.history(id))).toEqual(outcome(plain.history));
  });

  it("with policy PAUSE pauses the search, and a resumption leads from the checkpoint to the same result", async () => {
    const id = await system.begin(ill(PAUSE));
    await until(
      () => system.get(id),
      ({ state }) => state === SearchState.SEARCH_STATE_PAUSED,
    );
    expect(await healthOf(id)).toMatchObject({ reason: "GRADIENT_NORM" });
    await until(
      () => system.trainers().length,
      (count) => count === 0,
    );
    expect((await system.history(id)).map(nameOf).at(-1)).toBe("health.alarm.raised");
    await system.search.api.resumeSearch({ searchId: id });
    const search = await system.ended(id);
    expect(SearchState[search.state]).toBe("SEARCH_STATE_SUCCEEDED");
    const history = await system.history(id);
    expect(alarms(history)).toHaveLength(1);
    expect(history.filter(({ event }) => event.type === "search.paused")).toEqual([]);
  });

  it("with policy FAIL fails the search, with its kind as the reason", async () => {
    const { search, history } = await system.run(ill(FAIL));
    expect(search.conditions.find(({ type }) => type === "Failed")).toMatchObject({ reason: "GRADIENT_NORM" });
    expect(history.map(({ event }) => event.type)).not.toContain("work.failed");
  });
});

it("patience stops the training of the supernet, and the search goes on to its network", async () => {
  const spec = smallSpec({
    training: { epochs: 16, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.5 },
    health: HealthSpec.fromPartial({ patience: 1 }),
  });
  const { search, history } = await system.run(spec);
  expect(SearchState[search.state]).toBe("SEARCH_STATE_SUCCEEDED");
  expect(search.result?.stoppedEarly).toBe(true);
  const epochs = history.filter(({ event }) => event.type === "epoch.completed").length;
  expect(epochs).toBeLessThan(16);
  expect(alarms(history)).toMatchObject([{ kind: HealthAlarmKind.HEALTH_ALARM_KIND_PLATEAU, epoch: epochs }]);
});
