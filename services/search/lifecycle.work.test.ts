import type { LatheEvent } from "../../shared/events/catalog";
import type { TrainWork } from "../../shared/proto/lathe/v1/events";
import { AlgorithmKind } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { nextCommand } from "./commands";
import { projectAll } from "./lifecycle";
import { host, stored, search, whole, s, latency, bare, genotype, given, cancelled, kept } from "./lifecycle.fixture";

describe("the work of a phase", () => {
  const commandAfter = (events: readonly LatheEvent[]) => {
    const record = projectAll(undefined, stored(events));
    const command = record && nextCommand(record, host);
    return command?.do === "work" ? command.work : undefined;
  };

  it("trains with the MACs of the space, or with the operators that were measured", () => {
    expect(commandAfter([s.created])).toEqual({
      searchId: "s-abc",
      kind: "train",
      ordinal: 0,
      data: { spec: s.spec, space: s.space, costTable: macsTable(s.space), resumption: 0, candidate: 0 },
    });
    const measured = commandAfter(whole(latency).slice(0, 2));
    expect(measured?.data).toMatchObject({ costTable: s.operatorsProfiled.data.table });
  });

  it("trains each network of algorithm random as an item of its own, then chooses, in whichever order they are evaluated", () => {
    const kind = AlgorithmKind.ALGORITHM_KIND_RANDOM;
    const r = search({ algorithm: { kind, genotype: undefined }, sampling: { candidates: 2 } });
    const begun = [r.created, r.sampled(2), r.candidate(2), r.candidate(2)];
    const items = (events: readonly LatheEvent[]) => {
      const command = nextCommand(projectAll(undefined, stored(events))!, host)!;
      const works = command.do === "works" ? command.works : command.do === "work" ? [command.work] : [];
      return [command.id, ...works.map(({ kind: of, ordinal, data }) => [of, ordinal, (data as TrainWork).candidate])];
    };
    const trainings = ["train:0:candidates", ["train", "candidate1", 1], ["train", "candidate2", 2]];
    expect(items(begun.slice(0, 2))).toEqual(trainings);
    // Evaluated networks are not queued again.
    expect(items([...begun, r.paused, r.resumed(1)])).toEqual(["train:1:candidates", ["train", "candidate1-1", 1]]);
    const all = [...begun, r.sampled(1), r.candidate(1)];
    expect(items(all)).toEqual(["train:0", ["train", 0, 0]]);
    const { result } = projectAll(undefined, stored(all))!.search;
    expect(result).toMatchObject({ candidatesEvaluated: 2, searchSeconds: 7 });
  });

  it("derives with the costs that the search aimed at", () => {
    const converged = whole().findIndex(({ type }) => type === "supernet.converged");
    expect(commandAfter(whole().slice(0, converged + 1))).toEqual({
      searchId: "s-abc",
      kind: "derive",
      ordinal: 0,
      data: { spec: s.spec, costTable: macsTable(s.space), resumption: 0 },
    });
    const measured = whole(latency);
    const at = measured.findIndex(({ type }) => type === "supernet.converged");
    expect(commandAfter(measured.slice(0, at + 1))?.data).toMatchObject({ costTable: s.operatorsProfiled.data.table });
  });

  it("profiles operators on the device class of the spec", () => {
    const { created, space } = search({ ...latency, profiling: { deviceClass: "orin" } });
    expect(commandAfter([created])).toMatchObject({ kind: "profile", deviceClass: "orin", ordinal: "operators" });
    expect(commandAfter([created])?.data).toMatchObject({ space, onnx: undefined });
  });

  it("retrains from the inherited weights and profiles the network that is the result", () => {
    const events = whole();
    expect(commandAfter(events.slice(0, 7))?.data).toMatchObject({
      genotype: s.derived.data.genotype,
      weights: s.derived.data.weights,
    });
    expect(commandAfter(events.slice(0, -1))?.data).toMatchObject({ onnx: s.trained.data.onnx, space: undefined });
    expect(commandAfter(whole(bare).slice(0, -1))?.data).toMatchObject({ onnx: s.derived.data.onnx });
  });

  it("trains a given network from scratch, and profiles it", () => {
    expect(commandAfter([given.created])).toMatchObject({ kind: "retrain", ordinal: 0 });
    expect(commandAfter([given.created])?.data).toEqual({
      spec: given.spec,
      genotype,
      weights: undefined,
      resumption: 0,
    });
    expect(commandAfter([given.created, given.trained])?.data).toMatchObject({
      genotype,
      onnx: given.trained.data.onnx,
    });
  });

  it("keeps the network of a cancelled search with the costs that it aimed at, once an epoch has ended", () => {
    const data = { spec: s.spec, costTable: macsTable(s.space) };
    const item = { searchId: "s-abc", kind: "keep", ordinal: "cancelled" };
    for (const events of [
      [s.epoch(1)],
      [s.epoch(1), s.paused],
      [s.converged, s.derived],
      [s.converged, s.derived, s.trained],
    ])
      expect(commandAfter([s.created, ...events, cancelled])).toEqual({ ...item, data });
    const byLatency = commandAfter([...whole(latency).slice(0, 3), cancelled]);
    expect(byLatency?.data).toMatchObject({ costTable: s.operatorsProfiled.data.table });
    for (const events of [[s.created], [given.created], [search(latency).created, s.operatorsProfiled]])
      expect(nextCommand(projectAll(undefined, stored([...events, cancelled]))!, host)).toMatchObject({
        id: "keep",
        event: { type: "network.kept", data: { genotype: undefined, reason: "NOT_TRAINED" } },
      });
    expect(nextCommand(projectAll(undefined, stored([s.created, s.epoch(1), cancelled, kept]))!, host)).toBeUndefined();
  });

  it("fails with the name of a field that an event lacks", () => {
    const data = { ...s.derived.data, weights: undefined };
    expect(() => commandAfter([s.created, { type: "architecture.derived", data }])).toThrow(
      "search s-abc has no weights of the derived network",
    );
  });
});
