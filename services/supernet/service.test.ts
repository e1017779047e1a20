import { createEngine } from "../../shared/engine/engine";
import { historyOnce } from "../../shared/events/history";
import { publishWork, subscribeProgress } from "../../shared/events/publisher";
import { encodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import type { SupernetConverged, TrainingProgressed } from "../../shared/proto/lathe/v1/events";
import { DecidedBy } from "../../shared/proto/lathe/v1/result";
import { DatasetKind, DatasetSpec, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { SupernetServiceClient } from "../../shared/proto/lathe/v1/supernet";
import { macsTable } from "../../shared/space/cost";
import { derive, largestGenotype } from "../../shared/space/genotype";
import { initialArchitecture } from "../../shared/space/groups";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { randomBuffer } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { briefSpec, timeless } from "../../shared/testing/training";
import { decisionOn } from "./resumption";
import { trainSupernet } from "./training/algorithms/ssr/train";
import { patience } from "../../shared/testing/until";
import {
  engine,
  logged,
  bus,
  rpc,
  trainer,
  answerTo,
  shrinkingOf,
  newSearch,
  queue,
  told,
  epochs,
  names,
} from "./service.fixture";

describe("a train work item", () => {
  const spec = briefSpec();
  const { spec: resolved, space } = resolve(spec);
  const client = () => rpc.connect(SupernetServiceClient).api;
  let id: string;
  let converged: SupernetConverged;
  const progress: TrainingProgressed[] = [];
  /** Steps during which a call was answered. */
  const during = new Set<string>();

  it("runs to its end over a crash of the training process, from the last checkpoint", async () => {
    id = await newSearch(spec);
    let killed = false;
    const stop = shrinkingOf(id, (epoch) => {
      if (epoch.metrics!.epoch === 2 && !killed) {
        killed = true;
        for (const pid of trainer.worker.pids()) process.kill(pid, "SIGKILL");
      }
      return answerTo(epoch);
    });
    const end = subscribeProgress(bus, id, (each) => progress.push(each));
    await queue(id, spec);
    let done = false;
    const result = told(id, "supernet.converged").finally(() => (done = true));
    while (!done) {
      const status = await client().getTrainingStatus({});
      if (status.searchId) expect(status.searchId).toBe(id);
      if (status.progress) during.add(`${status.progress.epoch}.${status.progress.step}`);
      await bus.flush();
    }
    converged = (await result).event.data as SupernetConverged;
    end();
    await stop();
    expect(killed).toBe(true);
    const history = await historyOnce(bus, id);
    expect(epochs(history)).toEqual([1, 2, 3]);
    expect(names(history).filter((name) => name === "supernet.converged")).toHaveLength(1);
    expect(logged("resuming", id)).toMatchObject([{ epoch: 2 }]);
    await workIsDone(bus);
  });

  it("has the same result as a run without a crash, bit for bit", async () => {
    const checkpoints: Uint8Array[] = [];
    const event = await trainSupernet(
      await createEngine(engine),
      { spec: resolved, space, table: macsTable(space) },
      {
        storeCheckpoint: (bytes) => {
          checkpoints.push(bytes);
          return Promise.resolve(converged.checkpoint!);
        },
        completeEpoch: (epoch) => {
          const stored = { sequence: 1, time: new Date(), searchId: id, event: answerTo(epoch) };
          return Promise.resolve(decisionOn(epoch.metrics!.epoch, stored)!);
        },
        raise: () => Promise.resolve(),
        progress: () => undefined,
        compiled: () => undefined,
        signal: patience(),
      },
    );
    expect(timeless(await trainer.checkpoints.get(converged.checkpoint!, patience()))).toEqual(
      timeless(checkpoints[2]!),
    );
    expect({ ...converged, seconds: 0 }).toEqual({ ...event, seconds: 0 });
    expect(converged).toMatchObject({ decidedBy: DecidedBy.DECIDED_BY_SHRINKING, convergedEpoch: 2 });
  });

  it("keeps the newest checkpoint only", async () => {
    expect(await trainer.checkpoints.list(`${id}/`)).toEqual([converged.checkpoint!.object]);
  });

  it("lets gRPC answer while steps run, and publishes their progress", () => {
    // A service that answers only between epochs would have answered during one or two steps.
    expect(during.size).toBeGreaterThan(2);
    expect(progress.length).toBeGreaterThan(0);
    expect(progress.at(-1)).toMatchObject({ phase: "train", epoch: 3, epochs: 3, step: 4, steps: 4 });
  });

  it("that is delivered again after its end changes nothing", async () => {
    const before = (await historyOnce(bus, id)).length;
    await queue(id, spec, 9);
    await workIsDone(bus);
    expect(logged("work item skipped", id)).toMatchObject([{ why: "the supernet is trained" }]);
    expect(await historyOnce(bus, id)).toHaveLength(before);
  });

  it("leaves a supernet whose networks can be evaluated", async () => {
    const { genotype } = derive(space, converged.architecture!);
    const { miou, loss, figures } = await client().evaluateArchitecture({ searchId: id, genotype });
    // The checkpoint is that of the converged supernet, which holds a single network.
    expect(miou).toBeCloseTo(converged.validationMiou, 6);
    expect(loss).toBeGreaterThan(0);
    expect(figures!.params).toBeGreaterThan(100);

    const removed = structuredClone(genotype);
    const [block] = removed.stages[0]!.blocks;
    block!.dilation = 3 - block!.dilation;
    await expect(client().evaluateArchitecture({ searchId: id, genotype: removed })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "OPERATION_REMOVED",
    });
    // A width that is wider than every surviving one has no channels to inherit.
    const narrow = genotype.stages.flatMap(({ blocks }, s) =>
      blocks.flatMap((widths, b) =>
        (
          [
            ["middleWidth", "middle_width"],
            ["outputWidth", "output_width"],
          ] as const
        )
          .filter(([key]) => widths[key] < space.stages[s]!.channels)
          .map(([key, field]) => ({ s, b, key, field })),
      ),
    );
    expect(narrow).not.toEqual([]);
    for (const { s, b, key, field } of narrow) {
      const wider = structuredClone(genotype);
      wider.stages[s]!.blocks[b]![key] = space.stages[s]!.channels;
      await expect(client().evaluateArchitecture({ searchId: id, genotype: wider })).rejects.toMatchObject({
        ...{ code: "FAILED_PRECONDITION", reason: "WIDTH_REMOVED" },
        message: expect.stringContaining(`genotype.stages[${s}].blocks[${b}].${field}: `) as string,
      });
    }

    const foreign = { ...genotype, stemChannels: 5 };
    await expect(client().evaluateArchitecture({ searchId: id, genotype: foreign })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "genotype is not a network of the search's space",
    });
  });

  it.each<[string, () => Promise<string>, object]>([
    [
      "is unknown",
      () => Promise.resolve("s-unknown"),
      { code: "NOT_FOUND", message: 'search "s-unknown" does not exist' },
    ],
    ["has no epoch yet", () => newSearch(spec), { code: "FAILED_PRECONDITION", reason: "NOT_TRAINED" }],
    ["has no valid id", () => Promise.resolve("S.1"), { code: "INVALID_ARGUMENT" }],
  ])("refuses to evaluate in a search that %s", async (_, search, error) => {
    const request = { searchId: await search(), genotype: largestGenotype(space) };
    await expect(client().evaluateArchitecture(request)).rejects.toMatchObject(error);
  });

  it("describes a space", async () => {
    const { log10Size, dimensions, largest, spec: filled } = await client().describeSpace({ spec });
    // Per block 4 operations with 2 * 2 widths each: 4 * 2^8 networks; one or two blocks a stage, two stages.
    expect(log10Size).toBeCloseTo(2 * Math.log10(1024 + 1024 ** 2), 9);
    expect(dimensions.map(({ groups, candidates }) => [groups, candidates])).toEqual([
      [2, 4],
      [4, 16],
      [16, 32],
      [16, 32],
    ]);
    // Deepest: 4 blocks of 4 operations, 4 x 4 width groups of 2 each way; each stage adds 1/1024 of that by its shallower exit.
    const shallower = 2 * Math.log10(1 + 1 / 1024);
    [shallower, 4 * Math.log10(4), 16 * Math.log10(2), 16 * Math.log10(2)].forEach((part, index) =>
      expect(dimensions[index]!.log10Size).toBeCloseTo(part, 9),
    );
    expect(largest!.macs).toBeGreaterThan(10_000);
    expect(filled!.training!.epochs).toBe(3);
    await expect(client().describeSpace({ spec: { ...spec, preset: "huge" } })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "preset" }],
    });
  });
});
it("a retrain work item runs to a trained network", async () => {
  const spec = briefSpec({ retraining: { epochs: 1 } });
  const { spec: resolved, space } = resolve(spec);
  const { genotype } = derive(space, initialArchitecture(space));
  const network = buildDiscrete(genotype, { kind: "search" });
  const [weights, stats] = [network.weights, network.stats].map((layout) => randomBuffer(layout, uniform(1)));
  const id = await newSearch(spec);
  const inherited = await trainer.artifacts.put(
    `${id}/derived.weights`,
    encodeBundle({ header: {}, arrays: { weights: weights!, stats: stats! } }),
    { kind: "derived.weights", mediaType: "application/octet-stream" },
  );
  const data = { spec: resolved, genotype, weights: inherited, resumption: 0 };
  await publishWork(bus, { searchId: id, kind: "retrain", data, ordinal: 0 });
  const { event } = await told(id, "network.trained");
  if (event.type !== "network.trained") throw new Error(event.type);
  expect(event.data).toMatchObject({ bestEpoch: 1, onnx: { kind: "network.onnx" } });
  for (const recorded of [event.data.onnx!, event.data.weights!, ...event.data.predictions])
    expect((await trainer.artifacts.get(recorded, patience())).length).toBeGreaterThan(100);
  await workIsDone(bus);
  expect(names(await historyOnce(bus, id))).toEqual([
    "search.created",
    "retraining.epoch.completed",
    "network.trained",
  ]);
});
it("an item that cannot be carried out is published once as work.failed, with the reason", async () => {
  const spec: SearchSpec = {
    ...briefSpec(),
    dataset: DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_CAMVID, path: "no/such/folder" }),
  };
  const id = await newSearch(spec);
  await queue(id, spec);
  const { event } = await told(id, "work.failed");
  expect(event.data).toMatchObject({ phase: "train", reason: "DATASET_INVALID", deliveries: 1 });
  expect((event.data as { message: string }).message).toContain("no/such/folder");
  await workIsDone(bus);
});
