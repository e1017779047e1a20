import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve as resolvePath } from "node:path";
import { parseArgs } from "node:util";
import { size, whole } from "../cli/commands/options";
import { readSpec } from "../cli/spec/specFlags";
import { countedClassWeights } from "../services/supernet/training/classWeights";
import { isEvaluated, polyRate } from "../services/supernet/training/schedule";
import { batches, type Batch, type BatchOptions } from "../shared/data/batches";
import { datasetOptions, openDataset, type Dataset, type Split } from "../shared/data/open";
import { createRandom } from "../shared/engine/random";
import { count, createConfusion, scores } from "../shared/evaluation/confusion";
import { LatheError } from "../shared/process/errors";
import { presetSpec, type ResolvedSpec } from "../shared/spec/presets";
import { resolve } from "../shared/spec/resolve";
import { positive, type Measurement } from "./measurement";
import { base64, LEFT_OUT, openPyTorch, type PyTorch } from "./pytorch";

/** The networks of bench/pytorch/peers. */
export const PEERS = ["ddrnet23slim", "pidnet_s", "bisenetv2", "erfnet"] as const;

/** ERFNet gives logits of the input's size only where its three halvings are exact. */
const MULTIPLE = 8;

/** How a peer is trained: as retraining trains a network of Lathe. */
interface Course {
  input: readonly [height: number, width: number];
  seed: number;
  retraining: Pick<
    ResolvedSpec["retraining"],
    "epochs" | "batchSize" | "learningRate" | "weightDecay" | "validateEvery"
  >;
  augmentation: ResolvedSpec["augmentation"];
}

/** What is known of a training after an epoch. */
interface Progress {
  /** The course, the threads and the sizes of the data as JSON. */
  course: string;
  epoch: number;
  bestEpoch: number;
  bestMiou: number;
  seconds: number;
}

interface Trained extends Progress {
  name: string;
  parameters: number;
  macs: number;
}

/**
 * Trains networks that users take off the shelf, in PyTorch, with the data, the batches and the recipe of Lathe's retraining, and writes each
 * as NAME.onnx, from an image to its classes. `lathe evaluate --scale 1/255` and `lathe profile network` measure these files. After each
 * epoch the state of a training is NAME.pt; the same command continues a training that was ended. Arguments: names (default: all), --data
 * folder of CamVid, --out folder, --input HxW, --epochs, --seed, --threads.
 */
export async function peers(args: readonly string[]): Promise<Measurement[]> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      data: { type: "string" },
      out: { type: "string", default: "runs/peers" },
      input: { type: "string", default: "240x320" },
      epochs: { type: "string" },
      seed: { type: "string", default: "1" },
      threads: { type: "string", default: "2" },
    },
  });
  const { data, out } = values;
  if (data === undefined) throw new LatheError("INVALID_ARGUMENT", "--data is missing: name the folder of CamVid");
  const { retraining: found, augmentation } = presetSpec("medium");
  // A peer has no search before it.
  const retraining = { ...found, inheritWeights: false };
  const course: Course = {
    input: size(values.input),
    seed: whole(values.seed),
    retraining: { ...retraining, ...(values.epochs !== undefined && { epochs: positive(values.epochs, "--epochs") }) },
    augmentation,
  };
  const names = positionals.length > 0 ? positionals : PEERS;
  requireFits(names, course.input);
  const threads = positive(values.threads, "--threads");
  const python = await openPyTorch(threads);
  if (!python) throw new LatheError("FAILED_PRECONDITION", LEFT_OUT);
  const { spec, space } = resolve(readSpec({ preset: "medium", dataset: "camvid", data, seed: course.seed }));
  const [inputHeight, inputWidth] = course.input;
  const dataset = await openDataset(datasetOptions(spec, { ...space, inputHeight, inputWidth }));
  const all: Trained[] = [];
  try {
    mkdirSync(out, { recursive: true });
    const classWeights = [...(await countedClassWeights(dataset, space.classes))];
    const images = [dataset.train.length, dataset.validation.length];
    const text = JSON.stringify({ ...course, threads, images, classWeights });
    const stateOf = (name: string) => resolvePath(out, `${name}.pt`);
    const begun = new Map<string, Progress>();
    for (const name of names) {
      const path = stateOf(name);
      if (!existsSync(path)) continue;
      const { record } = await python.call<{ record: Progress }>("peer_record", { path });
      requireCourse(path, record.course, text);
      begun.set(name, record);
    }
    for (const name of names) {
      const progress = begun.get(name) ?? { course: text, epoch: 0, bestEpoch: 0, bestMiou: -1, seconds: 0 };
      const trained = await train(python, { name, path: stateOf(name), progress }, dataset, classWeights, course);
      const { onnx } = await python.call<{ onnx: string }>("export_peer", { height: inputHeight, width: inputWidth });
      writeFileSync(join(out, `${name}.onnx`), Buffer.from(onnx, "base64"));
      all.push(trained);
    }
  } finally {
    await dataset.close();
    await python.close();
  }
  return [measurement(all, course, threads, out, python)];
}

/** INVALID_ARGUMENT for names without a network, and for a size that they cannot have. */
export function requireFits(names: readonly string[], [height, width]: readonly [number, number]): void {
  const known: readonly string[] = PEERS;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new LatheError("INVALID_ARGUMENT", `there is no peer "${unknown}", choose from ${known.join(", ")}`);
  if (height % MULTIPLE !== 0 || width % MULTIPLE !== 0)
    throw new LatheError("INVALID_ARGUMENT", `--input is ${height}x${width}, must be multiples of ${MULTIPLE}`);
}

/** FAILED_PRECONDITION where a training was saved in another course. */
export function requireCourse(path: string, saved: string, course: string): void {
  if (saved === course) return;
  const text = `${path} is of another course, ${saved}: choose another --out, or delete the file`;
  throw new LatheError("FAILED_PRECONDITION", text);
}

async function train(
  python: PyTorch,
  { name, path, progress }: { name: string; path: string; progress: Progress },
  dataset: Dataset,
  classWeights: readonly number[],
  { input: [height, width], seed, retraining, augmentation }: Course,
): Promise<Trained> {
  const { epochs, batchSize, learningRate, weightDecay: decay } = retraining;
  const { parameters, macs } = await python.call<{ parameters: number; macs: number }>("begin_peer", {
    ...{ name, classWeights, decay, seed, height, width },
  });
  if (progress.epoch > 0) await python.call("load_peer", { path });
  if (progress.epoch > 0 && progress.epoch < epochs)
    console.error(`${name} continues after epoch ${progress.epoch} of ${epochs}`);
  while (progress.epoch < epochs) {
    const epoch = progress.epoch + 1;
    const started = performance.now();
    const losses: number[] = [];
    // The names of the streams are those of retraining, so both see the same images in the same order.
    const order: BatchOptions = {
      ...{ batchSize, labelStride: 1, augmentation, dropLast: true, reuse: true },
      random: createRandom(seed, `retraining/${epoch}`),
    };
    for await (const batch of batches(dataset.train, order)) {
      const rate = polyRate(learningRate, epoch, epochs);
      const { loss } = await python.call<{ loss: number }>("step_peer", { ...encoded(batch), height, width, rate });
      losses.push(loss);
    }
    const miou = isEvaluated(epoch, retraining)
      ? await evaluated(python, dataset.validation, dataset.info.classes.length, batchSize)
      : undefined;
    progress = { ...progress, epoch, seconds: progress.seconds + (performance.now() - started) / 1000 };
    if (miou !== undefined && miou > progress.bestMiou) {
      progress = { ...progress, bestEpoch: epoch, bestMiou: miou };
      await python.call("keep_peer");
    }
    await python.call("save_peer", { path, record: progress });
    const loss = losses.reduce((sum, each) => sum + each, 0) / losses.length;
    const score = miou === undefined ? "not evaluated" : `mIoU ${(100 * miou).toFixed(1)} %`;
    console.error(
      `${name} epoch ${epoch} of ${epochs}: loss ${loss.toFixed(3)}, ${score}, ${progress.seconds.toFixed(0)} s`,
    );
  }
  return { ...progress, name, parameters, macs };
}

/** mIoU over a split, of predictions at the size of the input. */
async function evaluated(python: PyTorch, split: Split, classes: number, batchSize: number): Promise<number> {
  const confusion = createConfusion(classes);
  const { height, width } = split;
  for await (const batch of batches(split, { batchSize, labelStride: 1, reuse: true })) {
    const images = base64(batch.images);
    const answer = await python.call<{ classes: string }>("predict_peer", { images, height, width });
    count(confusion, batch.labels, Buffer.from(answer.classes, "base64"));
  }
  return scores(confusion).miou;
}

const encoded = ({ images, labels }: Batch) => ({ images: base64(images), labels: base64(labels) });

function measurement(
  all: readonly Trained[],
  { input, seed, retraining }: Course,
  threads: number,
  out: string,
  { versions }: PyTorch,
): Measurement {
  return {
    title: `peers on CamVid at ${input.join("x")}, ${retraining.epochs} epochs, seed ${seed}`,
    unit: "s",
    series: Object.fromEntries(all.map(({ name, seconds }) => [`training ${name}`, [seconds]])),
    notes: {
      threads,
      recipe:
        "retraining of preset medium (Adam, poly rate, its augmentation), from scratch, one head, no auxiliary losses",
      seconds: "of steps and evaluations, with the transfer of the batches to PyTorch",
      files: out,
    },
    table: {
      columns: ["network", "parameters, M", "MACs, G", "best validation mIoU, %", "at epoch", "minutes"],
      rows: all.map(({ name, parameters, macs, bestMiou, bestEpoch, seconds }) => [
        ...[name, (parameters / 1e6).toFixed(3), (macs / 1e9).toFixed(2)],
        ...[(100 * bestMiou).toFixed(1), bestEpoch, (seconds / 60).toFixed(1)],
      ]),
    },
    versions,
  };
}
