import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine, type Engine } from "../../../../../shared/engine/engine";
import { createRandom } from "../../../../../shared/engine/random";
import { decodeSupernet, encodeSupernet } from "../../../../../shared/network/checkpoint";
import { buildSupernet } from "../../../../../shared/network/supernet";
import { LatheError } from "../../../../../shared/process/errors";
import type { EpochCompleted, HealthAlarmRaised, SupernetConverged } from "../../../../../shared/proto/lathe/v1/events";
import { DecidedBy, HealthAlarmKind, type ArtifactRef } from "../../../../../shared/proto/lathe/v1/result";
import {
  DatasetKind,
  DatasetSpec,
  HealthPolicy,
  HealthSpec,
  type SearchSpec,
} from "../../../../../shared/proto/lathe/v1/spec";
import { costOfLargest, expectedCost, macsTable } from "../../../../../shared/space/cost";
import { initialArchitecture, isConverged } from "../../../../../shared/space/groups";
import { resolve } from "../../../../../shared/spec/resolve";
import { writeImage, writeLabel, writeText } from "../../../../../shared/testing/pictures";
import { briefSpec, decideAll, halve, timeless } from "../../../../../shared/testing/training";
import type { CompiledSteps, EpochDecision, TrainingPort } from "../../port";
import { shrunk } from "../../supernetState";
import { trainSupernet } from "./train";
import { type SearchJob } from "../search";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
});

type Decide = (epoch: number, event: EpochCompleted) => EpochDecision;

interface Run {
  event: SupernetConverged;
  epochs: EpochCompleted[];
  checkpoints: Uint8Array[];
  decisions: EpochDecision[];
  compiled: CompiledSteps[];
}

const ref = (object: string): ArtifactRef => ({ object, kind: "checkpoint", sizeBytes: 0, sha256: "", mediaType: "" });

async function train(
  asked: SearchSpec,
  decide: Decide,
  { resume, ...port }: Partial<TrainingPort> & Pick<SearchJob, "resume"> = {},
): Promise<Run> {
  const { spec, space } = resolve(asked);
  const [epochs, checkpoints, decisions]: [EpochCompleted[], Uint8Array[], EpochDecision[]] = [[], [], []];
  const compiled: CompiledSteps[] = [];
  const event = await trainSupernet(
    engine,
    { spec, space, table: macsTable(space), ...(resume && { resume }) },
    {
      storeCheckpoint: (bytes) => {
        checkpoints.push(bytes);
        return Promise.resolve(ref(`c${decodeSupernet(space, bytes, "checkpoint").record.epoch}`));
      },
      completeEpoch: (completed) => {
        epochs.push(completed);
        const decision = decide(completed.metrics!.epoch, completed);
        decisions.push(decision);
        return Promise.resolve(decision);
      },
      raise: () => Promise.resolve(),
      progress: () => undefined,
      compiled: (steps) => compiled.push(steps),
      signal: new AbortController().signal,
      ...port,
    },
  );
  return { event, epochs, checkpoints, decisions, compiled };
}

const open: EpochDecision = { converged: false, byBudget: false };
/** Decides all groups, as after the last epoch. */
const atBudgetEnd: Decide = (_epoch, { architecture, space }) => ({
  architecture: decideAll(space!, architecture!),
  converged: true,
  byBudget: true,
});

/** Halves the candidates after the first epoch and decides all groups after the second; the third epoch trains weights only. */
const byShrinking: Decide = (epoch, { architecture, space }) => {
  if (epoch === 1) return { architecture: halve(space!, architecture!, 1), converged: false, byBudget: false };
  if (epoch === 2) return { architecture: decideAll(space!, architecture!), converged: true, byBudget: false };
  return { converged: true, byBudget: false };
};

describe("training a supernet", () => {
  const spec = briefSpec();
  const { space } = resolve(spec);
  let run: Run;
  beforeAll(async () => {
    run = await train(spec, byShrinking);
  });

  it("trains the remaining supernet after each decision, and reports when shrinking had decided everything", () => {
    expect(run.event).toMatchObject({
      decidedBy: DecidedBy.DECIDED_BY_SHRINKING,
      convergedEpoch: 2,
      epochs: 3,
      checkpoint: { object: "c3" },
      // 12 steps of weights and 8 of architecture parameters.
      trainingImages: 20 * 4,
    });
    expect(isConverged(run.event.architecture!)).toBe(true);
    const states = run.checkpoints.map((bytes) => decodeSupernet(space, bytes, "c").state);
    const survivors = (architecture: { groups: { id: string; survivors: number[] }[] }) =>
      architecture.groups.map(({ id, survivors: left }) => `${id} ${left.join()}`);
    run.decisions.slice(0, 2).forEach(({ architecture }, at) => {
      expect(survivors(states[at + 1]!.supernet.architecture)).toEqual(survivors(architecture!));
      expect(survivors(run.epochs[at + 1]!.architecture!)).toEqual(survivors(architecture!));
      expect(states[at + 1]!.weights.values.length).toBeLessThan(states[at]!.weights.values.length);
    });
    expect(states.map(({ weights }) => weights.steps)).toEqual([4, 8, 12]);
    expect(run.compiled.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    const nodes = run.compiled.map((steps) => steps.nodes);
    expect(nodes).toEqual([...nodes].sort((a, b) => b - a));
    expect(run.compiled.every(({ formulation }) => /^(blocked|plain: .+)$/.test(formulation))).toBe(true);
    const estimates = run.epochs.map(({ metrics }) => metrics!.estimatedMemoryBytes);
    expect(estimates).toEqual(run.compiled.map(({ estimatedBytes }) => estimatedBytes));
    expect(estimates).toEqual([...new Set(estimates)].sort((a, b) => b - a));
    // The third epoch has no alpha steps.
    expect(states.map(({ alphas }) => alphas.steps)).toEqual([4, 8, 8]);
    expect(survivors(run.event.architecture!)).toEqual(survivors(states[2]!.supernet.architecture));
  });

  it("publishes the metrics of each epoch", () => {
    const table = macsTable(space);
    run.epochs.forEach(({ metrics, architecture }, at) => {
      expect(metrics).toMatchObject({ epoch: at + 1, epochs: 3, steps: 4 });
      expect(metrics!.weightLoss).toBeGreaterThan(0);
      expect(metrics!.validationMiou).toBeGreaterThan(0);
      const cost = expectedCost(space, architecture!, table);
      expect(metrics!.expectedCost).toBe(cost);
      expect(metrics!.expectedCostRatio).toBe(cost / costOfLargest(space, table));
    });
    run.epochs.forEach(({ metrics }, at) => {
      expect(metrics!.learningRate).toBeCloseTo(spec.training!.weightLearningRate! * (1 - at / 3) ** 0.9, 12);
      // The ramp is over 12 steps: the factors of steps 4 and 8.
      if (at < 2) expect(metrics!.ssrFactor).toBeCloseTo(1 + (60 * (4 * at + 3)) / 11, 9);
    });
    expect(run.event.validationMiou).toBe(run.epochs[2]!.metrics!.validationMiou);
  });

  it("is the same to the last bit from the same seed", async () => {
    const again = await train(spec, byShrinking);
    expect(again.checkpoints.map(timeless)).toEqual(run.checkpoints.map(timeless));
    expect({ ...again.event, seconds: 0 }).toEqual({ ...run.event, seconds: 0 });
  });

  it("draws the examples in another order in each epoch", async () => {
    // Without updates and dropout, the loss of a step depends only on its batch.
    const still = briefSpec({
      training: { epochs: 2, weightLearningRate: 1e-12, alphaLearningRate: 1e-12 },
      space: { stages: space.stages.map((stage) => ({ ...stage, dropout: 0 })) },
    });
    const first: number[] = [];
    const decide: Decide = (epoch, event) => (epoch === 2 ? atBudgetEnd(epoch, event) : open);
    await train(still, decide, { progress: ({ step, loss }) => void (step === 1 && first.push(loss)) });
    expect(first).toHaveLength(2);
    expect(Math.abs(first[0]! - first[1]!)).toBeGreaterThan(1e-3);
  });

  it("augments the batches of both steps as the spec says, the same again where it resumes", async () => {
    const asked = {
      ...spec,
      augmentation: { scaleMin: 0.5, scaleMax: 2, brightness: 0.4, contrast: 0.4, saturation: 0.4 },
    };
    const through = await train(asked, byShrinking);
    expect(through.epochs[0]!.metrics!.validationLoss).not.toBe(run.epochs[0]!.metrics!.validationLoss);
    const resumed = await train(asked, byShrinking, {
      resume: { checkpoint: through.checkpoints[0]!, ref: ref("c1"), decision: through.decisions[0]! },
    });
    expect(resumed.checkpoints.map(timeless)).toEqual(through.checkpoints.slice(1).map(timeless));
  });

  it("has another result from another seed", async () => {
    const stop = new AbortController();
    const end = () => {
      stop.abort(new LatheError("CANCELLED", "enough"));
      return Promise.resolve({ converged: false, byBudget: false });
    };
    const other: Uint8Array[] = [];
    const storeCheckpoint = (bytes: Uint8Array) => {
      other.push(bytes);
      return Promise.resolve(ref("c"));
    };
    await expect(
      train(briefSpec({ seed: 2 }), byShrinking, { completeEpoch: end, storeCheckpoint, signal: stop.signal }),
    ).rejects.toThrow("enough");
    expect(other).toHaveLength(1);
    const weights = (bytes: Uint8Array) => decodeSupernet(space, bytes, "c").state.weights.values;
    expect(weights(other[0]!)).toHaveLength(weights(run.checkpoints[0]!).length);
    expect(weights(other[0]!)).not.toEqual(weights(run.checkpoints[0]!));
  });

  it.each([1, 2, 3])(
    "resumed after epoch %d has the same result as the run that was not interrupted",
    async (epoch) => {
      const resume = {
        checkpoint: run.checkpoints[epoch - 1]!,
        ref: ref(`c${epoch}`),
        decision: run.decisions[epoch - 1]!,
      };
      const resumed = await train(spec, byShrinking, { resume });
      expect(resumed.checkpoints.map(timeless)).toEqual(run.checkpoints.slice(epoch).map(timeless));
      expect({ ...resumed.event, seconds: 0 }).toEqual({ ...run.event, seconds: 0 });
    },
  );

  it("refuses bytes that are not a checkpoint", async () => {
    const resume = { checkpoint: new Uint8Array(9), ref: ref("c9"), decision: { converged: false, byBudget: false } };
    await expect(train(spec, byShrinking, { resume })).rejects.toMatchObject({
      reason: "BUNDLE_CORRUPT",
      message: expect.stringContaining("checkpoint c9") as string,
    });
  });
});

describe("shrunk", () => {
  it("keeps the moments of surviving candidates, each with its own row", () => {
    const { space } = resolve(briefSpec());
    const before = initialArchitecture(space);
    const supernet = buildSupernet(space, before);
    const count = (size: number, from: number) => Float32Array.from({ length: size }, (_, i) => from + i);
    const numbered = (size: number) => ({ values: count(size, 0), m: count(size, 1e5), v: count(size, 2e5), steps: 7 });
    const state = {
      supernet,
      weights: numbered(supernet.weights.size),
      stats: count(supernet.stats.size, 0),
      alphas: numbered(supernet.alphas.size),
    };
    const after = shrunk(state, halve(space, before, 1));
    for (const role of ["weights", "alphas"] as const) {
      const { values, m, v, steps } = after[role];
      expect(values.length).toBeLessThan(state[role].values.length);
      expect([...m]).toEqual([...values].map((value) => value + 1e5));
      expect([...v]).toEqual([...values].map((value) => value + 2e5));
      expect(steps).toBe(7);
    }
    expect(after.stats.length).toBe(after.supernet.stats.size);
  });
});

describe("the end of the epochs", () => {
  const spec = briefSpec({ training: { epochs: 1 } });
  const { space } = resolve(spec);

  it("by argmax is reported as such, and the checkpoint holds the supernet before argmax", async () => {
    const byBudget: Decide = (_, { architecture }) => ({
      architecture: decideAll(space, architecture!),
      converged: true,
      byBudget: true,
    });
    const { event, checkpoints } = await train(spec, byBudget);
    expect(event).toMatchObject({ decidedBy: DecidedBy.DECIDED_BY_ARGMAX, convergedEpoch: 0, epochs: 1 });
    expect(isConverged(event.architecture!)).toBe(true);
    const { state } = decodeSupernet(space, checkpoints[0]!, "c");
    expect(isConverged(state.supernet.architecture)).toBe(false);
    expect(event.architecture!.groups.every(({ alphas, survivors }) => alphas.length === survivors.length)).toBe(true);
  });

  it("trains on with the last rate and factor until every group is decided", async () => {
    const extended: Decide = (epoch, { architecture }) =>
      epoch < 2
        ? { converged: false, byBudget: false }
        : { architecture: decideAll(space, architecture!), converged: true, byBudget: true };
    const { event, epochs } = await train(spec, extended);
    expect(event).toMatchObject({ decidedBy: DecidedBy.DECIDED_BY_ARGMAX, convergedEpoch: 0, epochs: 2 });
    expect(epochs.map(({ metrics }) => [metrics!.epoch, metrics!.epochs])).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(epochs[1]!.metrics!.learningRate).toBe(epochs[0]!.metrics!.learningRate);
    expect(epochs[1]!.metrics!.ssrFactor).toBe(61);
  });
});

describe("health", () => {
  const decided: Decide = (epoch, { architecture, space }) =>
    epoch === 1
      ? { architecture: decideAll(space!, architecture!), converged: true, byBudget: false }
      : { converged: true, byBudget: false };
  const { HEALTH_ALARM_KIND_GRADIENT_NORM: NORM, HEALTH_ALARM_KIND_PLATEAU: PLATEAU } = HealthAlarmKind;
  const ill = (health: object, epochs = 3) => ({
    ...briefSpec({ training: { epochs } }),
    health: HealthSpec.fromPartial({ graceEpochs: 0, ...health }),
  });
  const kinds = (epochs: EpochCompleted[]) => epochs.map(({ alarms }) => alarms.map(({ kind }) => kind));

  it("is measured in every epoch, by the norms of both steps while there are alpha steps", async () => {
    const { epochs } = await train(briefSpec(), decided);
    const health = epochs.map(({ metrics }) => metrics!.health!);
    for (const each of health) {
      expect(each.weightGradientNorm).toBeGreaterThan(0.01);
      expect(each.classShare).toBeGreaterThan(1 / 11);
      expect(each.classShare).toBeLessThanOrEqual(1);
    }
    expect(health.map(({ alphaGradientNorm }) => alphaGradientNorm > 0)).toEqual([true, false, false]);
    expect(health[0]!.relativeAlphaGradientNorm).toBeLessThan(health[0]!.alphaGradientNorm / 100);
    expect(health.at(-1)!.bestMiou).toBe(Math.max(...epochs.map(({ metrics }) => metrics!.validationMiou)));
  });

  it("beyond a bound raises one alarm while the condition lasts, also after a resumption", async () => {
    const spec = ill({ maxClassShare: 1, maxGradientNorm: 1e-6 });
    const whole = await train(spec, decided);
    expect(kinds(whole.epochs)).toEqual([[NORM], [], []]);
    expect(whole.epochs.map(({ metrics }) => metrics!.health!.standing)).toEqual([[NORM], [NORM], [NORM]]);
    const resume = { checkpoint: whole.checkpoints[0]!, ref: ref("c1"), decision: whole.decisions[0]! };
    const resumed = await train(spec, decided, { resume });
    expect(kinds(resumed.epochs)).toEqual([[], []]);
    expect(resumed.checkpoints.map(timeless)).toEqual(whole.checkpoints.slice(1).map(timeless));
  });

  it("with policy stop ends the training after the decision on that epoch, even if the trainer died in between", async () => {
    // At rate 1e-12 only the running statistics change, and an untrained supernet predicts one class.
    const spec = ill({ patience: 2, maxClassShare: 1 }, 9);
    spec.training!.weightLearningRate = 1e-12;
    const run = await train(spec, decided);
    const last = run.epochs.length;
    expect(last).toBeLessThan(9);
    expect(kinds(run.epochs)).toEqual([...Array<unknown>(last - 1).fill([]), [PLATEAU]]);
    expect(run.event).toMatchObject({ stoppedEarly: true, epochs: last, decidedBy: DecidedBy.DECIDED_BY_SHRINKING });
    const resume = { checkpoint: run.checkpoints[last - 1]!, ref: ref(`c${last}`), decision: run.decisions[last - 1]! };
    const resumed = await train(spec, decided, { resume });
    expect(resumed.epochs).toEqual([]);
    expect({ ...resumed.event, seconds: 0 }).toEqual({ ...run.event, seconds: 0 });
    expect((await train(briefSpec(), decided)).event.stoppedEarly).toBe(false);
  });
});

describe("a run that cannot go on", () => {
  it("stops between two steps when its signal aborts, with the reason of the signal", async () => {
    const stop = new AbortController();
    const steps: number[] = [];
    const running = train(briefSpec(), byShrinking, {
      signal: stop.signal,
      progress: ({ step }) => {
        steps.push(step);
        if (step === 2)
          stop.abort(new LatheError("CANCELLED", "search s-1: search.paused", { reason: "SEARCH_PAUSED" }));
      },
    });
    await expect(running).rejects.toMatchObject({ code: "CANCELLED", reason: "SEARCH_PAUSED" });
    expect(steps).toEqual([1, 2]);
  });

  it("fails before it publishes an epoch if a file is broken, even one that no batch uses", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lathe-train-"));
    await writeText(join(folder, "classes.txt"), "sky\nroad\ncar\n");
    for (const name of ["train/#/0", "train/#/1", "train/#/2", "train/#/3", "train/#/4", "val/#/0"]) {
      await writeImage(join(folder, `${name.replace("#", "images")}.png`), 32, 64);
      await writeLabel(join(folder, `${name.replace("#", "labels")}.png`), 32, 64, [0, 1, 2]);
    }
    // With five images, an epoch of batches of four leaves out the last.
    const order = createRandom(1, "epoch/1/weights").shuffle([0, 1, 2, 3, 4]);
    const broken = join(folder, `train/images/${order[4]}.png`);
    await writeText(broken, "no image");
    const spec = briefSpec({
      dataset: { kind: DatasetKind.DATASET_KIND_FOLDER, path: folder, trainExamples: 0, validationExamples: 0 },
      space: { classes: 3 },
      training: { epochs: 2, warmupEpochs: 1 },
    });
    const told = jest.fn();
    await expect(train(spec, byShrinking, { completeEpoch: told })).rejects.toMatchObject({
      reason: "DATASET_INVALID",
      message: expect.stringContaining(`image ${broken} cannot be decoded`) as string,
    });
    expect(told).not.toHaveBeenCalled();
    await rm(folder, { recursive: true });
  });

  it("tells of a class without pixels before its first step, and not again where it resumes", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lathe-train-"));
    await writeText(join(folder, "classes.txt"), "sky\nroad\ncar\n");
    for (const name of ["train/#/0", "train/#/1", "val/#/0"]) {
      await writeImage(join(folder, `${name.replace("#", "images")}.png`), 32, 64);
      await writeLabel(join(folder, `${name.replace("#", "labels")}.png`), 32, 64, [0, 1]);
    }
    const spec = briefSpec({
      dataset: DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_FOLDER, path: folder }),
      space: { classes: 3 },
      training: { epochs: 2, batchSize: 2, warmupEpochs: 1 },
      retraining: { epochs: 0 },
    });
    const told: string[] = [];
    const port: Partial<TrainingPort> = {
      raise: ({ kind, epoch, message }) =>
        Promise.resolve(void told.push(`${HealthAlarmKind[kind]} ${epoch}: ${message}`)),
      progress: ({ epoch, step }) => void told.push(`step ${epoch}/${step}`),
    };
    const { checkpoints, decisions } = await train(spec, atBudgetEnd, port);
    const alarm = 'HEALTH_ALARM_KIND_LABELS 0: class "car" has no pixel';
    expect(told).toEqual([alarm, "step 1/1", "step 2/1"]);
    told.length = 0;
    await train(spec, atBudgetEnd, {
      ...port,
      resume: { checkpoint: checkpoints[0]!, ref: ref("c1"), decision: decisions[0]! },
    });
    expect(told).toEqual(["step 2/1"]);
    await rm(folder, { recursive: true });
  });

  it("names epoch and step of a loss that is not finite", async () => {
    const spec = briefSpec({ training: { epochs: 1 } });
    const { space } = resolve(spec);
    const first = await train(spec, atBudgetEnd);
    const { state, record } = decodeSupernet(space, first.checkpoints[0]!, "c1");
    // A weight of a search block, so that the NaN reaches the loss.
    state.weights.values[state.supernet.weights.entries.find(({ name }) => name.includes("/conv2"))!.offset] = NaN;
    const checkpoint = encodeSupernet(state, record);
    const raised: HealthAlarmRaised[] = [];
    const raise = (alarm: HealthAlarmRaised) => Promise.resolve(void raised.push(alarm));
    const resume = { checkpoint, ref: ref("c1"), decision: open };
    const longer = briefSpec({ training: { epochs: 2 } });
    await expect(train(longer, atBudgetEnd, { raise, resume })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "LOSS_NOT_FINITE",
      message: expect.stringMatching(
        /^the (loss|gradient norm) of the weights is NaN at epoch 2, step 1: lower/,
      ) as string,
    });
    expect(raised).toMatchObject([
      { kind: HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE, policy: HealthPolicy.HEALTH_POLICY_FAIL },
    ]);
  });
});
