import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import type { Consumption } from "../../shared/events/pulls";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import { publishEvent } from "../../shared/events/publisher";
import { pullOne } from "../../shared/events/pull";
import { DURABLES, EVENTS_STREAM, eventFilter, eventSubject } from "../../shared/events/subjects";
import type { LatheError } from "../../shared/process/errors";
import { createMetrics } from "../../shared/process/metrics";
import { EpochCompleted, HealthAlarmRaised } from "../../shared/proto/lathe/v1/events";
import { HealthAlarmKind, RemovalReason } from "../../shared/proto/lathe/v1/result";
import { ShrinkingServiceClient } from "../../shared/proto/lathe/v1/shrinking";
import type { Architecture } from "../../shared/proto/lathe/v1/space";
import { BudgetPolicy, HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { group, initialArchitecture } from "../../shared/space/groups";
import { presetSpec } from "../../shared/spec/presets";
import { resolve } from "../../shared/spec/resolve";
import { startTestBus } from "../../shared/testing/bus";
import { uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { tinySpec } from "../../shared/testing/searches";
import { answer, consume } from "./consumer";
import { shrinkingMetrics } from "./metrics";
import { shrinkingService } from "./rpc";
import { patience } from "../../shared/testing/until";

const { space } = resolve(tinySpec());
const policy = presetSpec("tiny").shrinking;

/** The end of an epoch after which depth 1 of stage 1 has almost all of the probability. */
function completed(epoch: number, overrides: Partial<EpochCompleted> = {}): EpochCompleted {
  const architecture: Architecture = initialArchitecture(space);
  group(architecture, "stage1/depth").alphas = [9, -9];
  return {
    ...EpochCompleted.fromPartial({ metrics: { epoch, epochs: 4 } }),
    architecture,
    space,
    policy: { ...policy, firstEpoch: 2 },
    ...overrides,
  };
}

let nats: TestNats;
let bus: Bus;
let rpc: TestRpc;
let consumption: Consumption;
const metrics = createMetrics();
const observed = shrinkingMetrics(metrics);
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
  consumption = await consume(bus, observed, { backoffMs: 10 });
  rpc = await startRpc([shrinkingService()]);
});
afterAll(async () => {
  await rpc?.stop();
  await consumption?.stop();
  await bus?.drain();
  await nats?.stop();
});

const answered = (id: string, from: number): Promise<StoredEvent> =>
  awaitEvent(bus, id, from, ({ event }) => event.type !== "epoch.completed", patience());

async function complete(id: string, data: EpochCompleted): Promise<StoredEvent> {
  const { sequence } = await publishEvent(bus, id, { type: "epoch.completed", data });
  return answered(id, sequence);
}

describe("an epoch that is completed", () => {
  it("is answered once: kept before the first epoch, shrunk after it, with every removal counted", async () => {
    const id = uniqueSearchId();
    expect((await complete(id, completed(1))).event).toEqual({
      type: "space.kept",
      data: { epoch: 1, converged: false },
    });
    const { event } = await complete(id, completed(2));
    expect(event).toEqual(answer(completed(2)));
    const removals = event.type === "space.shrunk" ? event.data.removals : [];
    expect(removals[0]).toMatchObject({ group: "stage1/depth", value: "2" });
    const text = await metrics.registry.metrics();
    expect(text).toContain('nas_shrink_removed_total{dimension="depth"} 1');
    const counted = [...text.matchAll(/nas_shrink_removed_total\{.*\} (\d+)/g)].map(([, n]) => Number(n));
    expect(counted.reduce((sum, n) => sum + n, 0)).toBe(removals.length);
  });

  it("fails no search although its event was in hand whenever the process died", async () => {
    const id = uniqueSearchId();
    await consumption.stop();
    const { sequence } = await publishEvent(bus, id, { type: "epoch.completed", data: completed(1) });
    const filter = eventFilter("epoch.completed");
    const settings = { stream: EVENTS_STREAM, durable: DURABLES.shrinking, filter, ackWaitMs: 10_000 };
    for (let death = 1; death <= 12; death++)
      (await pullOne(bus, { ...settings, maxAckPending: 256 }, patience()))!.nak(0);
    consumption = await consume(bus, observed, { backoffMs: 10 });
    expect((await answered(id, sequence)).event.type).toBe("space.kept");
  });

  it("is answered once where the consumer before died between its answer and its acknowledgement", async () => {
    const id = uniqueSearchId();
    await consumption.stop();
    await publishEvent(bus, id, { type: "epoch.completed", data: completed(2) });
    // The consumer before has published its answer.
    const { sequence } = await publishEvent(bus, id, answer(completed(2)));
    await publishEvent(bus, id, { type: "epoch.completed", data: completed(3) });
    consumption = await consume(bus, observed, { backoffMs: 10 });
    await answered(id, sequence + 1);
    expect((await historyOnce(bus, id)).map(({ event }) => event.type)).toEqual([
      ...["epoch.completed", "space.shrunk", "epoch.completed", "space.shrunk"],
    ]);
  });

  it("is answered at a resumption where it never was, and fails the work again where it did before", async () => {
    const id = uniqueSearchId();
    await consumption.stop();
    const { sequence } = await publishEvent(bus, id, { type: "epoch.completed", data: completed(1) });
    const filter = eventFilter("epoch.completed");
    const settings = { stream: EVENTS_STREAM, durable: DURABLES.shrinking, filter, ackWaitMs: 10_000 };
    await (await pullOne(bus, { ...settings, maxAckPending: 256 }, patience()))!.term();
    consumption = await consume(bus, observed, { backoffMs: 10 });
    const resume = (searchId: string) =>
      publishEvent(bus, searchId, { type: "search.resumed", data: { resumption: 1 } });
    await resume(id);
    expect((await answered(id, sequence + 2)).event.type).toBe("space.kept");

    const ill = uniqueSearchId();
    const fail = { ...policy, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_FAIL };
    expect((await complete(ill, completed(4, { policy: fail }))).event).toMatchObject({
      data: { reason: "NOT_CONVERGED", resumption: 0 },
    });
    const resumed = await resume(ill);
    expect((await answered(ill, resumed.sequence + 1)).event).toMatchObject({
      type: "work.failed",
      data: { reason: "NOT_CONVERGED", resumption: 1 },
    });
  });

  it("fails the work where the policy says so, and where no decision can be made", async () => {
    const fail = { ...policy, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_FAIL };
    expect((await complete(uniqueSearchId(), completed(4, { policy: fail }))).event).toMatchObject({
      type: "work.failed",
      data: { phase: "train", reason: "NOT_CONVERGED", deliveries: 1 },
    });
    const broken = { groups: initialArchitecture(space).groups.slice(1) };
    expect((await complete(uniqueSearchId(), completed(1, { architecture: broken }))).event).toMatchObject({
      type: "work.failed",
      data: { reason: "INVALID_ARCHITECTURE", message: expect.stringContaining("stage1/depth") as string },
    });
    expect((await complete(uniqueSearchId(), completed(1, { space: undefined }))).event).toMatchObject({
      type: "work.failed",
      data: { reason: "EVENT_INCOMPLETE" },
    });
  });

  it("fails no search for an event that cannot be read, and answers the events behind it", async () => {
    const id = uniqueSearchId();
    await bus.connection.request(eventSubject(id, "epoch.completed"), "no envelope");
    expect((await complete(id, completed(1))).event.type).toBe("space.kept");
    expect((await historyOnce(bus, id)).map(({ event }) => event.type)).toEqual(["epoch.completed", "space.kept"]);
  });

  it("is the last epoch where its alarm stops the training: argmax decides, whatever the policy at the end of the budget", () => {
    const alarm = { kind: HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP, epoch: 2 };
    const raised = (stops: HealthPolicy, epoch = 2) =>
      answer(
        completed(epoch, {
          policy: { ...policy, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_FAIL },
          alarms: [HealthAlarmRaised.fromPartial({ ...alarm, policy: stops })],
        }),
      );
    const { data } = raised(HealthPolicy.HEALTH_POLICY_STOP);
    expect(data).toMatchObject({ epoch: 2, converged: true });
    const reasons = new Set("removals" in data ? data.removals.map(({ reason }) => reason) : []);
    expect(reasons).toContain(RemovalReason.REMOVAL_REASON_BUDGET);
    expect(raised(HealthPolicy.HEALTH_POLICY_REPORT).data).toMatchObject({ converged: false });
    expect(raised(HealthPolicy.HEALTH_POLICY_STOP, 6).data).toMatchObject({ epoch: 6, converged: true });
  });

  it("is not confused with an epoch of the retraining", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, {
      type: "retraining.epoch.completed",
      data: {
        epoch: 1,
        epochs: 1,
        loss: 0,
        validationMiou: 0,
        miouClasses: 3,
        bestMiou: 0,
        seconds: 0,
        checkpoint: undefined,
        dataset: undefined,
      },
    });
    // Once a later epoch is answered, the consumer has passed the event of the retraining.
    const later = uniqueSearchId();
    await publishEvent(bus, later, { type: "epoch.completed", data: completed(1) });
    await answered(later, 0);
    expect(await historyOnce(bus, id)).toHaveLength(1);
  });
});

describe("ShrinkingService", () => {
  const failure = (run: Promise<unknown>): Promise<LatheError> =>
    run.then(
      () => Promise.reject(new Error("no failure")),
      (error: LatheError) => error,
    );

  it("decides as the consumer does, and refuses a bad request by the name of its field", async () => {
    const { api } = rpc.connect(ShrinkingServiceClient);
    const { architecture } = completed(2);
    const request = { space, architecture, policy: undefined, epoch: 2, epochs: 4 };
    const decision = await api.decide({ ...request, policy: { ...policy, firstEpoch: 2 } });
    expect({ type: "space.shrunk", data: { epoch: 2, ...decision } }).toEqual(answer(completed(2)));
    const other = { groups: architecture!.groups.slice(1) };
    expect(await failure(api.decide({ ...request, architecture: other }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: expect.arrayContaining([
        expect.objectContaining({ field: 'architecture.groups["stage1/depth"]' }),
      ]) as unknown,
    });
    for (const field of ["space", "architecture"])
      expect(await failure(api.decide({ ...request, [field]: undefined }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        violations: [{ field }],
      });
  });

  it("simulates a course of epochs", async () => {
    const { api } = rpc.connect(ShrinkingServiceClient);
    const { architecture } = completed(2);
    const { decisions } = await api.simulateSchedule({
      space,
      policy: { ...policy, firstEpoch: 2 },
      epochs: [architecture!, architecture!, architecture!],
    });
    expect(decisions.map(({ removals }) => removals.length > 0)).toEqual([false, true, true]);
    expect(decisions.map(({ converged }) => converged)).toEqual([false, false, true]);
    expect(await failure(api.simulateSchedule({ space, policy: undefined, epochs: [] }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "epochs" }],
    });
  });
});
