import { historyOnce } from "../../shared/events/history";
import { publishEvent } from "../../shared/events/publisher";
import { createMetrics } from "../../shared/process/metrics";
import type { EpochCompleted } from "../../shared/proto/lathe/v1/events";
import { macsTable } from "../../shared/space/cost";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { briefSpec } from "../../shared/testing/training";
import { Trainer } from "./trainer";
import { trainingMetrics } from "./metrics";
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

it("a pause ends the item, a resumption continues from the last epoch, and a cancellation ends the training", async () => {
  const spec = briefSpec({ training: { epochs: 300 } });
  const id = await newSearch(spec);
  const stop = shrinkingOf(id, keep);
  await queue(id, spec);
  await told(id, "epoch.completed", ({ metrics: of }: EpochCompleted) => of!.epoch === 2);
  await publishEvent(bus, id, { type: "search.paused", data: {} });
  await workIsDone(bus);
  expect(trainer.worker.pids()).toEqual([]);
  expect(logged("work item stopped", id)).toMatchObject([{ why: "SEARCH_PAUSED" }]);
  const last = Math.max(...epochs(await historyOnce(bus, id)));

  await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
  await queue(id, spec, 1);
  await told(id, "epoch.completed", ({ metrics: of }: EpochCompleted) => of!.epoch === last + 2);
  await publishEvent(bus, id, { type: "search.cancelled", data: { reason: "enough" } });
  await workIsDone(bus);
  await stop();
  const history = await historyOnce(bus, id);
  // Nothing is trained from the end of the item to the resumption.
  const paused = history.slice(0, names(history).indexOf("search.resumed"));
  expect(Math.max(...epochs(paused))).toBe(last);
  const all = epochs(history);
  expect(all).toEqual(Array.from({ length: all.length }, (_, n) => n + 1));
  expect(names(await historyOnce(bus, id))).not.toContain("work.failed");
  expect(logged("resuming", id)).toMatchObject([{ epoch: last }]);
  expect(trainer.status).toBeUndefined();
});
it("waits for a decision for a limited time, then says who has not answered", async () => {
  const spec = briefSpec();
  const id = await newSearch(spec);
  const { spec: resolved, space } = resolve(spec);
  const data = { spec: resolved, space, costTable: macsTable(space), resumption: 0, candidate: 0 };
  const training = trainingMetrics(createMetrics(), () => 0);
  const own = new Trainer({ bus, engine, logger, metrics: training, decisionMs: 200 });
  const { signal } = new AbortController();
  const item = { id: "w", searchId: id, kind: "train" as const, data };
  const inHand = { history: await historyOnce(bus, id), signal, held: signal, stop: () => {} };
  await expect(own.carryOut(item, inHand)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    reason: "DECISION_OVERDUE",
    message: expect.stringContaining("has not decided on epoch 1") as string,
  });
  expect(epochs(await historyOnce(bus, id))).toEqual([1]);
});
it("an item goes on from the newer checkpoint where another worker has replaced the one of its history", async () => {
  const spec = briefSpec();
  const id = await newSearch(spec);
  const { spec: resolved, space } = resolve(spec);
  const stop = shrinkingOf(id, answerTo);
  await queue(id, spec);
  await told(id, "supernet.converged");
  await workIsDone(bus);
  await stop();
  const whole = await historyOnce(bus, id);
  // The history as it was before the second epoch, which deleted the checkpoint of the first.
  const history = whole.slice(0, names(whole).indexOf("space.shrunk") + 1);
  expect(epochs(history)).toEqual([1]);

  const data = { spec: resolved, space, costTable: macsTable(space), resumption: 0, candidate: 0 };
  const own = new Trainer({ bus, engine, logger, metrics: trainingMetrics(createMetrics(), () => 0) });
  const signal = patience();
  const item = { id: "w", searchId: id, kind: "train" as const, data };
  await own.carryOut(item, { history, signal, held: signal, stop: () => {} });
  expect(logged("resuming", id)).toMatchObject([{ epoch: 1 }, { epoch: 3 }]);
  expect(await historyOnce(bus, id)).toEqual(whole);
});
