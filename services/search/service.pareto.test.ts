import { ListParetoFrontsRequest } from "../../shared/proto/lathe/v1/search";
import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { succeeded } from "./pareto.fixture";
import { api, begin, failure } from "./service.fixture";

const fronts = (request: Parameters<typeof ListParetoFrontsRequest.fromPartial>[0]) =>
  api.listParetoFronts(ListParetoFrontsRequest.fromPartial(request));

describe("ListParetoFronts", () => {
  it("has a front for each device, and says why a search is left out", async () => {
    const labels = { pareto: "all" };
    const fast = await succeeded({ miou: 0.4, ms: 10 }, labels);
    const good = await succeeded({ miou: 0.6, ms: 20 }, { ...labels, name: "good" });
    const worse = await succeeded({ miou: 0.5, ms: 30 }, labels);
    const elsewhere = await succeeded({ miou: 0.1, ms: 99, device: "another" }, labels);
    const cancelled = (await begin({ labels })).id;
    await api.cancelSearch({ searchId: cancelled, reason: "" });
    const open = (await begin({ labels })).id;

    const found = await fronts({ labels });
    expect(found.fronts).toMatchObject([
      {
        conditions: {
          device: "a processor",
          datasetKind: DatasetKind.DATASET_KIND_STREETS,
          retrained: true,
          threads: 1,
        },
        points: [
          { searchId: fast, miou: 0.4, p50Seconds: 0.01, dominatedBy: "", figures: { params: 30, macs: 40 } },
          { searchId: good, name: "good", dominatedBy: "" },
          { searchId: worse, dominatedBy: good },
        ],
      },
      { conditions: { device: "another" }, points: [{ searchId: elsewhere, dominatedBy: "" }] },
    ]);
    expect(found.leftOut).toMatchObject([{ searchId: cancelled, reason: "NO_NETWORK" }]);
    expect(found.omitted).toBe(0);

    const named = await fronts({ searchIds: [open, worse, fast, worse], device: "a processor" });
    expect(named.fronts.map(({ points }) => points.map(({ searchId }) => searchId))).toEqual([[fast, worse]]);
    expect(named.leftOut).toMatchObject([{ searchId: open, reason: "NOT_ENDED" }]);
    expect((await fronts({ searchIds: [elsewhere], device: "a processor" })).leftOut).toMatchObject([
      { searchId: elsewhere, reason: "OTHER_DEVICE" },
    ]);
  });

  it("compares calibrated medians of one key of a device, and lets no unstable one dominate a stable one", async () => {
    const labels = { pareto: "calibrated" };
    const good = await succeeded({ miou: 0.5, ms: 30, calibratedMs: 10 }, labels);
    const worse = await succeeded({ miou: 0.4, ms: 20, calibratedMs: 20 }, labels);
    const shaky = await succeeded({ miou: 0.6, ms: 5, unstableBecause: ["busy"] }, labels);
    const elsewhere = await succeeded({ miou: 0.9, ms: 1, key: "cd".repeat(32) }, labels);
    const found = await fronts({ labels });
    expect(found.fronts).toMatchObject([
      {
        conditions: { deviceKey: "ab".repeat(32) },
        calibrationReferenceSeconds: 0.001,
        points: [
          { searchId: shaky, dominatedBy: "", unstableBecause: ["busy"] },
          { searchId: good, dominatedBy: "", p50Seconds: 0.03, comparedSeconds: 0.01, calibrated: true },
          { searchId: worse, dominatedBy: good },
        ],
      },
      { conditions: { deviceKey: "cd".repeat(32) }, points: [{ searchId: elsewhere }] },
    ]);
  });

  it("reads the newest searches up to its limit, and says how many it has not read", async () => {
    const labels = { pareto: "limit" };
    const ids: string[] = [];
    for (const ms of [10, 20, 30]) ids.push(await succeeded({ miou: ms / 100, ms }, labels));
    const found = await fronts({ labels, limit: 2 });
    expect(found.fronts.flatMap(({ points }) => points.map(({ searchId }) => searchId))).toEqual(ids.slice(1));
    expect(found.omitted).toBe(1);
    expect(await fronts({ labels: { pareto: "nothing" } })).toEqual({ fronts: [], leftOut: [], omitted: 0 });
  });

  it("is refused for searches that cannot be", async () => {
    expect(await failure(fronts({ searchIds: ["s-nowhere"] }))).toMatchObject({
      ...{ code: "NOT_FOUND", reason: "SEARCH_NOT_FOUND" },
    });
    expect(await failure(fronts({ searchIds: ["", "S"], limit: 1 }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: ["search_ids[0]", "search_ids[1]", "limit"].map((field) => ({ field })),
    });
  });
});
