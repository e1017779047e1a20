import { decodeSupernet } from "../../../../../shared/network/checkpoint";
import { LatheError } from "../../../../../shared/process/errors";
import { DecidedBy } from "../../../../../shared/proto/lathe/v1/result";
import { CostSpec } from "../../../../../shared/proto/lathe/v1/spec";
import { costOfLargest, expectedCost, macsTable } from "../../../../../shared/space/cost";
import { isConverged } from "../../../../../shared/space/groups";
import { resolve } from "../../../../../shared/spec/resolve";
import { briefSpec, decideAll, timeless } from "../../../../../shared/testing/training";
import { atBudgetEnd, byShrinking, open, ref, train, type Decide, type Run } from "./train.fixture";

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

  it("adapts the weight of the cost only by epochs that move the architecture parameters", async () => {
    // No network of the space costs so little, so that every epoch misses the target.
    const cost = CostSpec.fromPartial({ target: 0.01, weight: 100, adapt: true });
    const warming = { ...briefSpec({ training: { epochs: 4, warmupEpochs: 2 } }), cost };
    const missing = await train(warming, (epoch, event) => (epoch === 4 ? atBudgetEnd(epoch, event) : open));
    expect(missing.epochs.map(({ metrics }) => metrics!.costWeight)).toEqual([100, 100, 100, 150]);
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
