import { openDataset, datasetOptions } from "../../../../shared/data/open";
import { createEngine, type Engine } from "../../../../shared/engine/engine";
import { discreteEvaluator } from "../../../../shared/evaluation/evaluate";
import { decodeBundle } from "../../../../shared/network/bundle";
import { buildDiscrete } from "../../../../shared/network/discrete";
import { LatheError } from "../../../../shared/process/errors";
import type { ArchitectureDerived, SamplingEpochCompleted } from "../../../../shared/proto/lathe/v1/events";
import { DecidedBy, type ArtifactRef } from "../../../../shared/proto/lathe/v1/result";
import { AlgorithmKind, CostSpec, type SearchSpec } from "../../../../shared/proto/lathe/v1/spec";
import { costOfLargest, genotypeCost, macsTable } from "../../../../shared/space/cost";
import { networkCosts } from "../../../../shared/space/networkCosts";
import { isMember } from "../../../../shared/space/genotype";
import { keyOf } from "../../../../shared/space/sampling";
import { resolve } from "../../../../shared/spec/resolve";
import { briefSpec, timeless } from "../../../../shared/testing/training";
import { bestOf } from "./best";
import type { Candidate } from "./search";
import { search } from "./algorithms";
import type { TrainingPort } from "../port";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
});

const { ALGORITHM_KIND_RANDOM: RANDOM, ALGORITHM_KIND_EVOLUTION: EVOLUTION } = AlgorithmKind;

/** 96 training images of budget; validation of 6 images. */
const specOf = (kind: AlgorithmKind): SearchSpec => ({
  ...briefSpec(),
  algorithm: { kind, genotype: undefined },
  cost: CostSpec.fromPartial({ target: 0.75 }),
  sampling: { candidates: 3, evaluations: 6, population: 3, tournament: 2, costTolerance: 0.3 },
});

const ref = (object: string): ArtifactRef => ({ object, kind: "checkpoint", sizeBytes: 0, sha256: "", mediaType: "" });

interface Told {
  epochs: SamplingEpochCompleted[];
  checkpoints: Uint8Array[];
  candidates: Candidate[];
  files: Record<string, Uint8Array>;
}

/** Runs a search from a state, as its work items do: those of random train one network each, and the last one chooses. */
async function run(
  kind: AlgorithmKind,
  state: { checkpoints?: Map<number, Uint8Array>; evaluated?: Candidate[] } = {},
  changes: Partial<TrainingPort> = {},
): Promise<Told & { data: ArchitectureDerived }> {
  const { spec, space } = resolve(specOf(kind));
  const told: Told = { epochs: [], checkpoints: [], candidates: [], files: {} };
  const [last, evaluated] = [new Map(state.checkpoints), [...(state.evaluated ?? [])]];
  let newest = new Uint8Array();
  const port: TrainingPort = {
    storeCheckpoint: (bytes) => {
      told.checkpoints.push(bytes);
      newest = Uint8Array.from(bytes);
      return Promise.resolve(ref("checkpoint"));
    },
    store: (name, bytes) => {
      told.files[name] = bytes;
      return Promise.resolve(ref(name));
    },
    completeEpoch: () => Promise.reject(new Error("no epoch of a supernet that shrinks")),
    raise: () => Promise.reject(new Error("no supernet whose health is watched")),
    completeRetrainingEpoch: () => Promise.reject(new Error("no network is retrained")),
    completeSamplingEpoch: (event) => {
      told.epochs.push(event);
      last.set(event.candidate, newest);
      return Promise.resolve();
    },
    completeCandidate: (event) => {
      told.candidates.push(event as Candidate);
      evaluated.push(event as Candidate);
      return Promise.resolve();
    },
    progress: () => undefined,
    compiled: () => undefined,
    signal: new AbortController().signal,
    ...changes,
  };
  const item = async (candidate: number, read = candidate) => {
    const checkpoint = last.get(read);
    const seconds = told.epochs.reduce((sum, each) => sum + each.seconds, 0);
    const sampled = { ...(checkpoint && { checkpoint }), evaluated: [...evaluated], seconds };
    return search(engine, { spec, space, table: macsTable(space), candidate, sampled }, port);
  };
  if (kind === RANDOM)
    for (let candidate = 1; candidate <= spec.sampling.candidates; candidate++)
      if (!evaluated.some(({ index }) => index === candidate)) expect(await item(candidate)).toBeUndefined();
  const outcome = await item(0, kind === RANDOM ? evaluated[bestOf(evaluated)]!.index : 0);
  if (outcome?.type !== "architecture.derived") throw new Error(outcome?.type);
  return { ...told, data: outcome.data };
}

const untimed = (value: unknown) =>
  JSON.parse(JSON.stringify(value, (key, entry: unknown) => (key === "seconds" ? undefined : entry))) as unknown;

describe.each([
  // 3 networks take (96 - 3 * 6 / 3) / 3 images: 7 steps of 4 images, in 2 epochs.
  ["random", RANDOM, { networks: 3, trainings: 3, epochs: 2, steps: 21, images: 84 + 6 }],
  // 6 networks take 6 * (6 + 16) / 3 images, which leaves 13 steps in 4 epochs.
  ["evolution", EVOLUTION, { networks: 6, trainings: 1, epochs: 4, steps: 13, images: 52 + 44 }],
])("a search by %s", (name, kind, { networks, trainings, epochs, steps, images }) => {
  const { spec, space } = resolve(specOf(kind));
  const table = macsTable(space);
  let whole: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    whole = await run(kind);
  });

  it("trains within its budget and evaluates each network once, within the cost window", () => {
    expect(whole.epochs.map(({ epoch, epochs: of }) => [epoch, of])).toEqual(
      Array.from({ length: trainings * epochs }, (_, at) => [at + 1, trainings * epochs]),
    );
    expect(whole.epochs.every(({ loss }) => loss > 0)).toBe(true);
    const taken = whole.checkpoints.map(
      (bytes) => decodeBundle<{ steps?: number; weightSteps?: number }>(bytes, "c").header,
    );
    expect(taken.at(-1)!.steps ?? taken.at(-1)!.weightSteps).toBe(steps / trainings);
    expect(whole.candidates.map(({ index, candidates }) => [index, candidates])).toEqual(
      Array.from({ length: networks }, (_, at) => [at + 1, networks]),
    );
    for (const { genotype, costRatio, figures, parent, index } of whole.candidates) {
      expect(isMember(space, genotype)).toBe(true);
      expect(costRatio).toBe(genotypeCost(genotype, table) / costOfLargest(space, table));
      expect(costRatio).toBeLessThanOrEqual(0.75);
      expect(costRatio).toBeGreaterThanOrEqual(0.7 * 0.75);
      expect(figures).toEqual(networkCosts(genotype, { kind: "search" }));
      expect(parent > 0).toBe(kind === EVOLUTION && index > 3);
    }
    expect(new Set(whole.candidates.map(({ genotype }) => keyOf(genotype))).size).toBe(networks);
  });

  it("chooses the best network, without supernet and gap, and reports what the search has cost", () => {
    const best = whole.candidates.reduce((a, b) => (b.validationMiou > a.validationMiou ? b : a));
    expect(whole.data).toMatchObject({
      ...{
        genotype: best.genotype,
        discreteMiou: best.validationMiou,
        figures: best.figures,
        costRatio: best.costRatio,
      },
      ...{ decidedBy: DecidedBy.DECIDED_BY_SELECTION, supernetMiou: 0, discretizationGap: 0 },
      ...{ onnx: { object: "derived.onnx" }, weights: { object: "derived.weights" } },
      selection: { candidates: networks, trainingImages: images, engine: engine.name },
    });
    const seconds = [...whole.epochs, ...whole.candidates].reduce((sum, each) => sum + each.seconds, 0);
    expect(whole.data.selection!.seconds).toBeCloseTo(seconds, 9);
  });

  it("stores weights whose network has the published mIoU", async () => {
    const { arrays } = decodeBundle(whole.files["derived.weights"]!, "weights");
    const dataset = await openDataset(datasetOptions(spec, space));
    const network = buildDiscrete(whole.data.genotype!, { kind: "search" });
    const evaluator = await discreteEvaluator(engine, network, 1);
    const parameters = { weights: arrays.weights!, stats: arrays.stats! };
    const even = new Float32Array(space.classes).fill(1);
    expect((await evaluator.evaluate(parameters, dataset.validation, even)).miou).toBeCloseTo(
      whole.data.discreteMiou,
      6,
    );
    await evaluator.release();
    await dataset.close();
  });

  it.each([
    // Random search stops in the middle of the second network.
    ["in the middle of training", kind === RANDOM ? 3 : 1, kind === RANDOM ? 1 : 0],
    ["before the last network is evaluated", trainings * epochs, networks - 1],
  ])("resumed %s has the same result as the run that was not interrupted", async (_when, told, known) => {
    const evaluated = whole.candidates.slice(0, known);
    const checkpoints = new Map(
      whole.epochs.slice(0, told).map(({ candidate }, at) => [candidate, whole.checkpoints[at]!] as const),
    );
    const resumed = await run(kind, { checkpoints, evaluated });
    expect(untimed(resumed.epochs)).toEqual(untimed(whole.epochs.slice(told)));
    expect(resumed.checkpoints.map(timeless)).toEqual(whole.checkpoints.slice(told).map(timeless));
    expect(untimed(resumed.candidates)).toEqual(untimed(whole.candidates.slice(known)));
    expect(untimed(resumed.data)).toEqual(untimed(whole.data));
    expect(resumed.files).toEqual(whole.files);
  });
});

it("a choice among networks that were trained on different data says so once", async () => {
  const whole = await run(RANDOM);
  const dataset = whole.epochs[0]!.dataset!;
  const { spec, space } = resolve(specOf(RANDOM));
  const best = whole.candidates[bestOf(whole.candidates)]!.index;
  const checkpoint = whole.checkpoints[whole.epochs.findLastIndex(({ candidate }) => candidate === best)]!;
  const other = { ...dataset, sha256: "other", train: { ...dataset.train!, sha256: "other", files: "" } };
  const raised: string[] = [];
  const choose = async (datasets: (typeof dataset)[]) => {
    const sampled = { checkpoint, evaluated: whole.candidates, datasets };
    const port = {
      store: (name: string) => Promise.resolve(ref(name)),
      raise: ({ message }: { message: string }) => Promise.resolve(void raised.push(message)),
    } as Partial<TrainingPort> as TrainingPort;
    await search(engine, { spec, space, table: macsTable(space), candidate: 0, sampled }, port);
  };
  await choose([dataset, dataset]);
  expect(raised).toEqual([]);
  await choose([dataset, other, other]);
  expect(raised).toEqual([
    expect.stringContaining("training split: 16 examples, now 16, with other names or contents"),
  ]);
});

it("a choice among networks that are not all evaluated is refused", async () => {
  const { spec, space } = resolve(specOf(RANDOM));
  const job = { spec, space, table: macsTable(space), candidate: 0, sampled: { evaluated: [] } };
  await expect(search(engine, job, {} as TrainingPort)).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    message: "0 of 3 networks are evaluated; start the search again",
  });
});

it("a search stops between two steps when its signal aborts", async () => {
  const stop = new AbortController();
  const steps: number[] = [];
  const progress: TrainingPort["progress"] = ({ step }) => {
    steps.push(step);
    if (step === 2) stop.abort(new LatheError("CANCELLED", "enough"));
  };
  await expect(run(EVOLUTION, undefined, { signal: stop.signal, progress })).rejects.toThrow("enough");
  expect(steps).toEqual([1, 2]);
});
