import type { EpochCompleted } from "../../../../../shared/proto/lathe/v1/events";
import { DecidedBy, HealthAlarmKind } from "../../../../../shared/proto/lathe/v1/result";
import { HealthSpec } from "../../../../../shared/proto/lathe/v1/spec";
import { briefSpec, decideAll, timeless } from "../../../../../shared/testing/training";
import { ref, train, type Decide } from "./train.fixture";

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
