import { rmSync } from "node:fs";
import { join } from "node:path";
import { HealthAlarmKind } from "../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchState } from "../shared/proto/lathe/v1/search";
import { AlgorithmKind, DatasetKind, HealthPolicy, HealthSpec, SamplingSpec } from "../shared/proto/lathe/v1/spec";
import { until } from "../shared/testing/until";
import { writeImage, writeLabel, writeText } from "../shared/testing/pictures";
import { startCommand } from "./latheCommand";
import { fileSpec } from "./specs";
import { newFolder, System } from "./system";

const folder = newFolder();
let system: System;
beforeAll(async () => {
  await writeText(join(folder, "classes.txt"), "road\nsky\ncar\n");
  for (const split of ["train", "validation"])
    for (const stem of ["a", "b", "c", "d"]) {
      await writeImage(join(folder, split, "images", `${stem}.png`), 32, 64);
      await writeLabel(join(folder, split, "labels", `${stem}.png`), 32, 64, [0, 1, 2, 255]);
    }
  system = await System.start();
});
afterAll(async () => {
  await system.stop();
  rmSync(folder, { recursive: true });
});

/** Waits until the search is paused, changes a label, and resumes it to its end. */
async function changedWhilePaused(id: string) {
  await until(
    () => system.get(id),
    ({ state }) => state === SearchState.SEARCH_STATE_PAUSED,
  );
  await until(
    () => system.trainers().length,
    (count) => count === 0,
  );
  await writeLabel(join(folder, "train", "labels", "b.png"), 32, 64, [0, 1, 2]);
  await system.search.api.resumeSearch({ searchId: id });
  const search = await system.ended(id);
  expect(SearchState[search.state]).toBe("SEARCH_STATE_SUCCEEDED");
  return { search, history: await system.history(id) };
}

it("a search whose data changes while it is paused goes on and says so, in each work that reads it", async () => {
  const spec = fileSpec(DatasetKind.DATASET_KIND_FOLDER, folder, 3);
  const { HEALTH_POLICY_PAUSE: onGradientNorm } = HealthPolicy;
  spec.health = HealthSpec.fromPartial({ graceEpochs: 0, maxClassShare: 1, maxGradientNorm: 1e-6, onGradientNorm });
  const { search, history } = await changedWhilePaused(await system.begin(spec));

  const of = ({ dataset }: { dataset?: { sha256: string } | undefined }) => dataset?.sha256;
  const first = history.flatMap(({ event }) => (event.type === "epoch.completed" ? [of(event.data)] : []));
  const sha256 = first[0];
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(first.slice(1).every((one) => one === undefined)).toBe(true);
  expect(search.result).toMatchObject({
    dataset: { sha256, classes: ["road", "sky", "car"], train: { examples: 4, files: "" } },
    provenance: { datasetSha256: sha256 },
  });

  const kind = HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED;
  const told = history.flatMap(({ event }) =>
    event.type === "health.alarm.raised" && event.data.kind === kind ? [event.data] : [],
  );
  expect(told.map(({ phase, epoch }) => [phase, epoch])).toEqual([
    ["train", 2],
    ["retrain", 1],
  ]);
  const message = told[0]!.message;
  expect(message).toMatch(/: training split: examples changed 1 \(b\.png\)$/);
  const derived = history.flatMap(({ event }) =>
    event.type === "architecture.derived" ? [event.data.dataChange] : [],
  );
  // The derivation reads the validation split alone, which is the same.
  expect([derived, search.result?.dataChange]).toEqual([[""], message]);
  expect(search.conditions.find(({ type }) => type === "Data")).toMatchObject({
    ...{ status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "DATA_CHANGED", message },
  });
  const { genotype } = search.result!;
  const evaluated = await system.supernet.api.evaluateArchitecture({ searchId: search.id, genotype });
  expect(evaluated.dataChange).toBe(message);
});

it("a result folder is compared with the data as it lies now: what is evaluated on it, and what is reproduced", async () => {
  const { searches } = await system.search.api.listSearches({ pageSize: 1, pageToken: "", states: [], labels: {} });
  const lathe = async (...args: string[]) => {
    const { ended, said } = startCommand(folder, args);
    return { code: await ended, ...said };
  };
  const onStack = ["--address", system.stack.addresses().search.grpc];
  expect(await lathe("search", "result", searches[0]!.id, "--out", "result", ...onStack)).toMatchObject({ code: 0 });
  // Training data alone has changed, which no evaluation reads.
  expect(await lathe("evaluate", "result")).toMatchObject({ code: 0, stderr: "" });
  const reproduced = await lathe("reproduce", "result");
  expect([reproduced.code, reproduced.stderr]).toEqual([
    5,
    `lathe: ${join(folder, "result")} is not what its spec, events and data give: data\n`,
  ]);
  expect(reproduced.stdout).toMatch(/^differs +data [^\n]*\n +the data is not[^\n]*: examples changed 1 \(b\.png\)$/m);

  await writeLabel(join(folder, "train", "labels", "b.png"), 32, 64, [0, 1, 2, 255]);
  expect(await lathe("reproduce", "result")).toMatchObject({ code: 0 });
  await writeLabel(join(folder, "validation", "labels", "d.png"), 32, 64, [0, 1, 2]);
  const change =
    /^lathe: the validation data is not that of the search \([^)]*\): validation split: examples changed 1 \(d\.png\)\n$/;
  for (const args of [["result"], ["result/deploy.onnx", folder], ["result", folder]]) {
    const { code, stderr, stdout } = await lathe("evaluate", ...args, "--json");
    expect([code, stderr]).toEqual([0, expect.stringMatching(change)]);
    expect(`lathe: ${(JSON.parse(stdout) as { dataChange: string }).dataChange}\n`).toBe(stderr);
  }
  const discretization = ["--address", system.stack.addresses().discretization.grpc];
  const there = await lathe("evaluate", "--search", searches[0]!.id, ...discretization);
  expect([there.code, there.stderr]).toEqual([0, expect.stringMatching(change)]);
  await writeLabel(join(folder, "validation", "labels", "d.png"), 32, 64, [0, 1, 2, 255]);
});

it.each(["RANDOM", "EVOLUTION"] as const)("also by algorithm %s", async (name) => {
  await writeLabel(join(folder, "train", "labels", "b.png"), 32, 64, [0, 1, 2, 255]);
  const spec = fileSpec(DatasetKind.DATASET_KIND_FOLDER, folder, 3);
  spec.algorithm = { kind: AlgorithmKind[`ALGORITHM_KIND_${name}`], genotype: undefined };
  spec.sampling = SamplingSpec.fromPartial({ candidates: 4, evaluations: 4, population: 2, tournament: 1 });
  spec.training!.epochs = 150;
  const id = await system.begin(spec);
  await system.event(id, "sampling.epoch.completed", 1);
  await system.search.api.pauseSearch({ searchId: id });
  const { search, history } = await changedWhilePaused(id);
  expect(search.result?.dataset?.train?.examples).toBe(4);
  const told = history.filter(({ event }) => event.type === "health.alarm.raised" && event.data.phase === "train");
  expect(told).toHaveLength(1);
  expect(search.result?.dataChange).toMatch(/changed 1 \(b\.png\)$/);
});
