import { awaitEvent } from "../../shared/events/history";
import { takeWork } from "../../shared/events/work";
import { ArchitectureMeasured, ArchitectureRepaired, OperatorsProfiled } from "../../shared/proto/lathe/v1/events";
import { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { LatheEvent } from "../../shared/events/catalog";
import { ConditionStatus, SearchPhase, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { announceDevice } from "../../shared/testing/devices";
import { latencyTable } from "../../shared/testing/searches";
import { patience, until } from "../../shared/testing/until";
import { api, begin, bus, made, opened, publish, space, watchAll } from "./service.fixture";

/** The measured operators of a space whose largest network takes 20 ms. */
const operators: LatheEvent = {
  type: "operators.profiled",
  data: OperatorsProfiled.fromPartial({
    table: latencyTable(space, 0.02, { networks: 12, meanError: 0.01, rankCorrelation: 1 }),
    ...{ conditions: { p50Seconds: 0.02 }, smallest: { p50Seconds: 0.005 } },
  }),
};
const measured = (number: number, p50Seconds: number): LatheEvent => ({
  type: "architecture.measured",
  data: ArchitectureMeasured.fromPartial({ number, latency: { p50Seconds } }),
});
const file = (kind: string) =>
  ArtifactRef.fromPartial({ object: `s/${kind}`, kind, sizeBytes: 1, sha256: "00", mediaType: "a/b" });
const repaired = (number: number, discreteMiou: number): LatheEvent => ({
  type: "architecture.repaired",
  data: ArchitectureRepaired.fromPartial({
    ...{ number, changes: ["stage1/depth 2 -> 1"], discreteMiou, costRatio: 0.5 - 0.01 * number },
    genotype: made.derived.data.genotype,
    ...{ onnx: file(`repaired-${number}.onnx`), weights: file(`repaired-${number}.weights`) },
  }),
});
const known = async (id: string) => (await api.getSearch({ searchId: id })).search!;
const conditionOf = async (id: string, type: string) =>
  (await known(id)).conditions.find((condition) => condition.type === type);

/** Starts a search for 10 ms on a device class and brings it to its derived network. */
async function toDerived(device: string): Promise<string> {
  const { id } = await begin({ cost: { targetMs: 10, device }, retraining: { epochs: 2 } });
  await publish(id, operators, made.epoch(1), made.kept(1), made.converged, made.derived);
  return id;
}

describe("the network of a search for a latency", () => {
  it("waits for a latency worker of its class, says so, and is measured once one comes", async () => {
    const presence = await announceDevice(bus, "rack-8");
    const id = await toDerived("rack-8");
    await presence.stop();
    const waits = await until(
      () => conditionOf(id, "Device"),
      (device) => device?.status === ConditionStatus.CONDITION_STATUS_FALSE,
    );
    const message = "the search waits for a latency worker of device class rack-8: only workers of cpu are alive";
    expect(waits).toMatchObject({ reason: "DEVICE_NOT_SERVED", message });
    expect(await known(id)).toMatchObject({ phase: SearchPhase.SEARCH_PHASE_DERIVING });

    // A worker measures what has waited for it.
    const numbers: number[] = [];
    const again = await announceDevice(bus, "rack-8");
    opened.push(
      again,
      await takeWork(bus, {
        queues: [{ kind: "profile", deviceClass: "rack-8" }],
        handler: async ({ searchId, data }) => {
          // The item on the operators is obsolete.
          if (searchId !== id || data.space) return;
          numbers.push(data.number);
          await publish(id, measured(data.number, 0.0101));
        },
        onExhausted: () => Promise.resolve(),
      }),
    );
    const served = await until(
      () => conditionOf(id, "Device"),
      (device) => device?.status === ConditionStatus.CONDITION_STATUS_TRUE,
    );
    expect(served).toMatchObject({ reason: "DEVICE_SERVED" });
    await until(
      () => known(id),
      ({ phase }) => phase === SearchPhase.SEARCH_PHASE_RETRAINING,
    );
    expect(numbers).toEqual([1]);
    await api.cancelSearch({ searchId: id, reason: "" });
    const told = (await watchAll(id)).flatMap(({ event }) =>
      event?.$case === "deviceAvailabilityChanged" ? [event.value] : [],
    );
    expect(told).toMatchObject([{ available: false, message, classes: ["cpu"] }, { available: true }]);
  });

  it("is the nearest to the target where all repairs miss it, which its watchers, its result and its retraining are told", async () => {
    const presence = await announceDevice(bus, "rack-9");
    opened.push(presence);
    const id = await toDerived("rack-9");
    const seconds = [0.013, 0.0088, 0.0109, 0.0112, 0.012];
    for (const [repair, each] of seconds.entries())
      await publish(id, ...(repair > 0 ? [repaired(repair, 0.1 * repair)] : []), measured(repair + 1, each));
    const { event } = await awaitEvent(bus, id, 0, (stored) => stored.event.type === "architecture.chosen", patience());
    expect(event.data).toMatchObject({ repair: 2, measuredSeconds: 0.0109, onnx: file("repaired-2.onnx") });
    const search = await until(
      () => known(id),
      ({ phase }) => phase === SearchPhase.SEARCH_PHASE_RETRAINING,
    );
    expect(search.result).toMatchObject({ discreteMiou: 0.2, costRatio: 0.48 });
    expect(search.result?.target).toMatchObject({ chosenRepair: 2, measuredSeconds: 0.0109 });
    const missed = search.conditions.find(({ type }) => type === "CostTarget");
    expect(missed).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "COST_MISSED" });
    expect(missed?.message).toContain("10.9 ms, after repair 2 of 4: the nearest to the target;");
    expect(search.result?.costMiss).toBe(missed?.message);
    const given: (ArtifactRef | undefined)[] = [];
    opened.push(
      await takeWork(bus, {
        queues: [{ kind: "retrain" }],
        handler: ({ searchId, data }) => Promise.resolve(void (searchId === id && given.push(data.weights))),
        onExhausted: () => Promise.resolve(),
      }),
    );
    await until(
      () => given.length,
      (length) => length > 0,
    );
    expect(given).toEqual([file("repaired-2.weights")]);
    await api.cancelSearch({ searchId: id, reason: "" });
    const isChosen = ({ event }: WatchSearchResponse) => event?.$case === "architectureChosen";
    expect((await watchAll(id)).filter(isChosen)).toHaveLength(1);
  });
});
