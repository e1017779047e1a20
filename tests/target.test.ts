import { ConditionStatus, SearchState } from "../shared/proto/lathe/v1/search";
import type { CostSpec } from "../shared/proto/lathe/v1/spec";
import { isMember } from "../shared/space/genotype";
import { smallSpec } from "./specs";
import { startCommand } from "./latheCommand";
import { newFolder, System } from "./system";

let system: System;
beforeAll(async () => {
  system = await System.start();
});
afterAll(() => system?.stop());

/** A space whose largest network takes several times the time of its smallest, so that no noise hides the difference. */
const stage = (channels: number) => ({ channels, minDepth: 1, maxDepth: 5, widths: [channels / 4, channels] });
const wide = (cost: Parameters<typeof CostSpec.fromPartial>[0]) =>
  smallSpec({
    space: {
      ...{ inputHeight: 64, inputWidth: 128, stemChannels: 8 },
      ...{ stages: [stage(64), stage(96)], dilations: [1], scales: [1] },
    },
    training: { epochs: 4, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 0.5 },
    retraining: { epochs: 1, batchSize: 4, pyramidChannels: 4 },
    cost: { acceptInaccurateTable: true, ...cost },
  });

it("a search for latencies is refused before training where its space cannot have one; else a network for each is measured, repaired and trained", async () => {
  const impossible = await system.run(wide({ targetFps: 1 }));
  expect(impossible.search).toMatchObject({ state: SearchState.SEARCH_STATE_FAILED, artifacts: [] });
  expect(impossible.history.map(({ event }) => event.type)).toEqual([
    ...["search.created", "operators.profiled", "search.failed"],
  ]);
  const failed = impossible.search.conditions.find(({ type }) => type === "Failed");
  expect(failed).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_TRUE, reason: "TARGET_INFEASIBLE" });
  expect(failed?.message).toMatch(
    /^cost.target_fps is 1 \(1fps is 1000 ms\), but the networks of the space take [\d.]+ ms to /,
  );

  const { smallestSeconds = 0, largestSeconds = 0 } = impossible.search.result?.target ?? {};
  expect(largestSeconds).toBeGreaterThan(smallestSeconds);
  const middle = 1000 * Math.sqrt(smallestSeconds * largestSeconds);
  const targets = [0.8 * middle, 1.2 * middle].map((ms) => `${ms.toFixed(6)}ms`);
  const { search, history } = await system.run(wide({ targets }));
  expect(search.conditions.find(({ type }) => type === "Failed")).toBeUndefined();
  expect(search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
  const { result, space } = search;
  const { target } = result!;
  const names = history.map(({ event }) => event.type);
  const repairs = names.filter((name) => name === "architecture.repaired").length;
  const measurements = names.filter((name) => name === "architecture.measured").length;
  // Each repair that changes the network is followed by a measurement.
  expect(measurements).toBe(1 + (target?.repairs.length ?? 0));
  expect(repairs - (target?.repairs.length ?? 0)).toBeLessThanOrEqual(1);
  expect(names.indexOf("network.trained")).toBeGreaterThan(names.lastIndexOf("architecture.measured"));
  expect(isMember(space!, result!.genotype!)).toBe(true);
  const targetMs = Number(targets[1]?.replace("ms", ""));
  expect(target?.targetSeconds).toBeCloseTo(targetMs / 1000, 12);
  expect(target?.predictedSeconds).toBeGreaterThan(0);
  const latency = result?.latency;
  expect(target?.measuredSeconds).toBe(latency?.calibratedP50Seconds || latency?.p50Seconds);
  const holds = Math.abs((target?.measuredSeconds ?? 0) / (targetMs / 1000) - 1) <= 0.05;
  const condition = search.conditions.find(({ type }) => type === "CostTarget");
  expect(condition?.status === ConditionStatus.CONDITION_STATUS_TRUE).toBe(holds);
  expect(result?.costMiss === "").toBe(holds);

  // The other latency is a search of its own, from the same supernet.
  expect(result?.branches).toEqual([{ searchId: `${search.id}-2`, target: targets[0] }]);
  const branch = await system.ended(`${search.id}-2`);
  expect(branch).toMatchObject({ state: SearchState.SEARCH_STATE_SUCCEEDED, spec: { labels: { target: targets[0] } } });
  const own = (await system.history(branch.id)).map(({ event }) => event.type);
  expect(own.slice(0, 3)).toEqual(["search.created", "architecture.derived", "architecture.measured"]);
  expect(own).not.toContain("epoch.completed");
  expect(own.at(-1)).toBe("search.succeeded");
  expect(branch.result?.supernetMiou).toBe(result?.supernetMiou);
  expect(branch.result?.target).toMatchObject({ targetSeconds: Number(targets[0]?.replace("ms", "")) / 1000 });
  expect(branch.result?.artifacts.every(({ object }) => object.startsWith(`${branch.id}/`))).toBe(true);

  // A folder of either holds what is needed to derive its figures again.
  const folder = newFolder();
  const lathe = async (...args: string[]) => {
    const command = startCommand(folder, args);
    return { code: await command.ended, ...command.said };
  };
  for (const { id } of [search, branch]) {
    const address = system.stack.addresses().search.grpc;
    expect(await lathe("search", "result", id, "--address", address, "--out", id)).toMatchObject({ code: 0 });
    const reproduced = await lathe("reproduce", id);
    expect(reproduced).toMatchObject({ code: 0, stderr: "" });
    expect(reproduced.stdout).toContain("identical");
  }
});
