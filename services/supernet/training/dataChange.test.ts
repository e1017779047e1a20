import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine, type Engine } from "../../../shared/engine/engine";
import type { RetrainingEpochCompleted } from "../../../shared/proto/lathe/v1/events";
import { HealthAlarmKind, type ArtifactRef, type DatasetFigures } from "../../../shared/proto/lathe/v1/result";
import { DatasetKind, DatasetSpec } from "../../../shared/proto/lathe/v1/spec";
import { largestGenotype } from "../../../shared/space/genotype";
import { resolve } from "../../../shared/spec/resolve";
import { writeImage, writeLabel, writeText } from "../../../shared/testing/pictures";
import { briefSpec } from "../../../shared/testing/training";
import { retrain, type RetrainJob } from "./retrain";

let engine: Engine;
let folder: string;
beforeAll(async () => {
  engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
  folder = await mkdtemp(join(tmpdir(), "lathe-change-"));
  await writeText(join(folder, "classes.txt"), "sky\nroad\n");
  for (const name of ["train/#/0", "train/#/1", "val/#/0"]) {
    await writeImage(join(folder, `${name.replace("#", "images")}.png`), 32, 64);
    await writeLabel(join(folder, `${name.replace("#", "labels")}.png`), 32, 64, [0, 1]);
  }
});
afterAll(() => rm(folder, { recursive: true }));

const { spec, space } = resolve(
  briefSpec({
    dataset: DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_FOLDER, path: "folder" }),
    space: { classes: 2 },
    training: { batchSize: 2 },
    retraining: { epochs: 2, batchSize: 2, inheritWeights: false },
  }),
);
const ref: ArtifactRef = { object: "r", kind: "checkpoint", sizeBytes: 0, sha256: "", mediaType: "" };

/** Retrains in the folder; returns checkpoints, epochs and alarms. */
async function run(change: Partial<RetrainJob> = {}) {
  const [checkpoints, epochs, told]: [Uint8Array[], RetrainingEpochCompleted[], string[]] = [[], [], []];
  const dataset = { ...spec.dataset, path: folder };
  await retrain(
    engine,
    { spec: { ...spec, dataset }, genotype: largestGenotype(space), ...change },
    {
      store: () => Promise.resolve(ref),
      storeCheckpoint: (bytes) => Promise.resolve(void checkpoints.push(bytes)).then(() => ref),
      completeRetrainingEpoch: (event) => Promise.resolve(void epochs.push(event)),
      raise: ({ kind, phase, epoch, message }) =>
        Promise.resolve(void told.push(`${HealthAlarmKind[kind]} ${phase} ${epoch}: ${message}`)),
      progress: () => undefined,
      signal: new AbortController().signal,
    },
  );
  return { checkpoints, epochs, told };
}

it("the first epoch carries the data that was read, and a training that goes on with other data says so once", async () => {
  const first = await run();
  const [one, two] = first.epochs;
  expect(one?.dataset).toMatchObject({ train: { examples: 2, pixels: [2048, 2048] }, validation: { examples: 1 } });
  expect([two?.dataset, first.told]).toEqual([undefined, []]);
  const recorded: DatasetFigures = one!.dataset!;
  const resumed = { checkpoint: first.checkpoints[0]!, recorded };
  expect((await run(resumed)).told).toEqual([]);
  await writeLabel(join(folder, "train/labels/1.png"), 32, 64, [1]);
  expect((await run(resumed)).told).toEqual([
    expect.stringMatching(
      /^HEALTH_ALARM_KIND_DATA_CHANGED retrain 2: .*: training split: examples changed 1 \(1\.png\)$/,
    ),
  ]);
  // A retraining from its first epoch compares with the data of the search.
  const anew = await run({ recorded });
  expect(anew.told).toHaveLength(1);
  expect(anew.epochs[0]?.dataset?.sha256).not.toBe(recorded.sha256);
});
