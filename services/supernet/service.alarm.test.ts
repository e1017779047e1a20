import type { StoredEvent } from "../../shared/events/catalog";
import { historyOnce } from "../../shared/events/history";
import { publishEvent } from "../../shared/events/publisher";
import { encodeSupernet } from "../../shared/network/checkpoint";
import { createMetrics } from "../../shared/process/metrics";
import { EpochMetrics, HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { HealthPolicy, HealthSpec, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { briefSpec } from "../../shared/testing/training";
import { Trainer } from "./trainer";
import { trainingMetrics } from "./metrics";
import { initialSupernet } from "./training/supernetState";
import { patience } from "../../shared/testing/until";
import {
  engine,
  logger,
  logged,
  bus,
  trainer,
  answerTo,
  keep,
  shrinkingOf,
  newSearch,
  queue,
  told,
  epochs,
  names,
} from "./service.fixture";

describe("an alarm", () => {
  const { HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;
  /** Every epoch breaks the bound of the gradient norm, and the first raises the alarm. */
  const ill = (onGradientNorm: HealthPolicy) => ({
    ...briefSpec(),
    health: HealthSpec.fromPartial({ graceEpochs: 0, maxClassShare: 1, maxGradientNorm: 1e-6, onGradientNorm }),
  });
  const alarms = (history: StoredEvent[]) =>
    history.flatMap(({ event }) =>
      event.type === "health.alarm.raised" ? [`${HealthAlarmKind[event.data.kind]} ${event.data.epoch}`] : [],
    );
  const once = ["HEALTH_ALARM_KIND_GRADIENT_NORM 1"];

  it("follows the shrink of its epoch; one that pauses ends the item, and the resumed search is not paused again", async () => {
    const spec = ill(PAUSE);
    const id = await newSearch(spec);
    const stop = shrinkingOf(id, answerTo);
    await queue(id, spec);
    await told(id, "health.alarm.raised");
    await workIsDone(bus);
    expect(trainer.worker.pids()).toEqual([]);
    expect(logged("work item stopped", id)).toMatchObject([{ why: "SEARCH_PAUSED" }]);
    expect(names(await historyOnce(bus, id))).toEqual([
      ...["search.created", "epoch.completed", "space.shrunk", "health.alarm.raised"],
    ]);
    // The same item again, as after a crash: the search waits.
    await queue(id, spec, 0);
    await workIsDone(bus);
    expect(epochs(await historyOnce(bus, id))).toEqual([1]);

    await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
    await queue(id, spec, 1);
    await told(id, "supernet.converged");
    await stop();
    expect(epochs(await historyOnce(bus, id))).toEqual([1, 2, 3]);
    expect(alarms(await historyOnce(bus, id))).toEqual(once);
    expect(logged("resuming", id)).toMatchObject([{ epoch: 1 }]);
  });

  it("that fails the search ends the item without a second event work.failed", async () => {
    const spec = ill(FAIL);
    const id = await newSearch(spec);
    const stop = shrinkingOf(id, answerTo);
    await queue(id, spec);
    await told(id, "health.alarm.raised");
    await workIsDone(bus);
    await stop();
    expect(names(await historyOnce(bus, id)).at(-1)).toBe("health.alarm.raised");
  });

  it("is published exactly once, even if the trainer dies between the epoch and its decision", async () => {
    const spec = ill(REPORT);
    const id = await newSearch(spec);
    const { spec: resolved, space } = resolve(spec);
    const data = { spec: resolved, space, costTable: macsTable(space), resumption: 0, candidate: 0 };
    const own = new Trainer({ bus, engine, logger, metrics: trainingMetrics(createMetrics(), () => 0) });
    const gone = new AbortController();
    const item = { id: "w", searchId: id, kind: "train" as const, data };
    const inHand = { history: await historyOnce(bus, id), signal: gone.signal, held: gone.signal, stop: () => {} };
    const running = expect(own.carryOut(item, inHand)).rejects.toMatchObject({ code: "CANCELLED" });
    // There is no decision yet, so the alarm waits. Then its trainer ends.
    await told(id, "epoch.completed");
    gone.abort(new Error("killed"));
    await running;
    expect(alarms(await historyOnce(bus, id))).toEqual([]);

    const stop = shrinkingOf(id, answerTo);
    await queue(id, spec);
    await told(id, "supernet.converged");
    await stop();
    const history = await historyOnce(bus, id);
    expect(alarms(history)).toEqual(once);
    expect(names(history).slice(1, 5)).toEqual([
      ...["epoch.completed", "space.shrunk", "health.alarm.raised", "epoch.completed"],
    ]);
  });

  it("on a loss that is not finite pauses the search by its policy, and fails the item when it recurs", async () => {
    const spec = {
      ...briefSpec(),
      // No other alarm comes before it.
      health: HealthSpec.fromPartial({ onLossNotFinite: PAUSE, graceEpochs: 10_000 }),
    };
    const id = await newSearch(spec);
    const stop = shrinkingOf(id, keep);
    await publishBrokenEpoch(id, spec);
    await queue(id, spec);
    const { event } = await told(id, "health.alarm.raised");
    expect(event.data).toMatchObject({ kind: HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE, policy: PAUSE });
    await workIsDone(bus);
    expect(names(await historyOnce(bus, id)).at(-1)).toBe("health.alarm.raised");

    await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
    await queue(id, spec, 1);
    const failed = await told(id, "work.failed");
    expect(failed.event.data).toMatchObject({ phase: "train", reason: "LOSS_NOT_FINITE", deliveries: 1 });
    await stop();
  });
});
/** Publishes the first epoch of a search, with a checkpoint whose weights are NaN. */
async function publishBrokenEpoch(id: string, asked: SearchSpec): Promise<void> {
  const { spec, space } = resolve(asked);
  const state = initialSupernet(space, spec.seed);
  state.weights.values.fill(NaN);
  const bytes = encodeSupernet(state, { epoch: 1, convergedEpoch: 0, seconds: 1, miou: 0, costWeight: 1 });
  const about = { kind: "checkpoint", mediaType: "application/octet-stream", signal: patience() };
  const checkpoint = await trainer.checkpoints.put(`${id}/checkpoint`, bytes, about);
  const metrics = EpochMetrics.fromPartial({ epoch: 1, epochs: spec.training.epochs });
  const { architecture } = state.supernet;
  const rules = { policy: spec.shrinking, space };
  const data = { metrics, architecture, checkpoint, ...rules, alarms: [], dataset: undefined };
  await publishEvent(bus, id, { type: "epoch.completed", data });
}
