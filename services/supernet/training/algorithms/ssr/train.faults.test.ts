import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom } from "../../../../../shared/engine/random";
import { decodeSupernet, encodeSupernet } from "../../../../../shared/network/checkpoint";
import { LatheError } from "../../../../../shared/process/errors";
import type { HealthAlarmRaised } from "../../../../../shared/proto/lathe/v1/events";
import { HealthAlarmKind } from "../../../../../shared/proto/lathe/v1/result";
import { DatasetKind, DatasetSpec, HealthPolicy } from "../../../../../shared/proto/lathe/v1/spec";
import { resolve } from "../../../../../shared/spec/resolve";
import { writeImage, writeLabel, writeText } from "../../../../../shared/testing/pictures";
import { briefSpec } from "../../../../../shared/testing/training";
import type { TrainingPort } from "../../port";
import { atBudgetEnd, byShrinking, open, ref, train } from "./train.fixture";

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
