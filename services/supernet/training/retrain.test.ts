import sharp from "sharp";
import { createEngine, type Engine } from "../../../shared/engine/engine";
import { onnxMetadata, openOnnx } from "../../../shared/engine/onnx";
import { view } from "../../../shared/engine/parameters";
import { decodeBundle, encodeBundle } from "../../../shared/network/bundle";
import { buildDiscrete } from "../../../shared/network/discrete";
import { LatheError } from "../../../shared/process/errors";
import type { NetworkTrained, RetrainingEpochCompleted } from "../../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../../shared/proto/lathe/v1/space";
import type { SearchSpec } from "../../../shared/proto/lathe/v1/spec";
import { searchedHead } from "../../../shared/space/head";
import { networkCosts } from "../../../shared/space/networkCosts";
import { resolve } from "../../../shared/spec/resolve";
import { randomBuffer, randomGenotype } from "../../../shared/testing/networks";
import { uniform } from "../../../shared/testing/spaces";
import { briefSpec, timeless } from "../../../shared/testing/training";
import type { TrainingPort } from "./port";
import { retrain } from "./retrain";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
});

const { space } = resolve(briefSpec());
const genotype = randomGenotype(space, uniform(6));
const searched = buildDiscrete(genotype, { kind: "search" });
const body = { weights: randomBuffer(searched.weights, uniform(7)), stats: randomBuffer(searched.stats, uniform(8)) };
const inherited = encodeBundle({ header: {}, arrays: body });

interface Run {
  event: NetworkTrained;
  epochs: RetrainingEpochCompleted[];
  checkpoints: Uint8Array[];
  files: Map<string, Uint8Array>;
}

async function run(
  asked: SearchSpec,
  {
    checkpoint,
    given,
    searched = { genotype, inherited },
    ...port
  }: Partial<TrainingPort> & {
    checkpoint?: Uint8Array;
    given?: boolean;
    searched?: { genotype: Genotype; inherited: Uint8Array };
  } = {},
): Promise<Run> {
  const { spec } = resolve(asked);
  const [epochs, checkpoints, files]: [RetrainingEpochCompleted[], Uint8Array[], Map<string, Uint8Array>] = [
    [],
    [],
    new Map<string, Uint8Array>(),
  ];
  const refTo = (kind: string, bytes: Uint8Array): ArtifactRef => ({
    object: kind,
    kind,
    sizeBytes: bytes.length,
    sha256: "",
    mediaType: "",
  });
  const event = await retrain(
    engine,
    {
      ...{ spec, genotype: searched.genotype },
      ...(!given && { inherited: searched.inherited }),
      ...(checkpoint && { checkpoint }),
    },
    {
      storeCheckpoint: (bytes) => Promise.resolve(refTo(`c${checkpoints.push(bytes)}`, bytes)),
      completeRetrainingEpoch: (epoch) => Promise.resolve(void epochs.push(epoch)),
      store: (kind, bytes) => {
        files.set(kind, bytes);
        return Promise.resolve(refTo(kind, bytes));
      },
      progress: () => undefined,
      raise: () => Promise.reject(new Error("no alarm is expected")),
      signal: new AbortController().signal,
      ...port,
    },
  );
  return { event, epochs, checkpoints, files };
}

const parts = (bytes: Uint8Array) => decodeBundle<{ epoch: number; bestEpoch: number; bestMiou: number }>(bytes, "it");

describe("retraining", () => {
  const spec = briefSpec({ retraining: { epochs: 3, learningRate: 5e-3 } });
  let whole: Run;
  beforeAll(async () => {
    whole = await run(spec);
  });

  it("keeps the weights of the best epoch, and exports them", async () => {
    const { event, epochs, checkpoints, files } = whole;
    const mious = epochs.map(({ validationMiou }) => validationMiou!);
    const best = mious.indexOf(Math.max(...mious)) + 1;
    expect(event).toMatchObject({
      validationMiou: Math.max(...mious),
      bestEpoch: best,
      figures: networkCosts(genotype, { kind: "aggregation", pyramidChannels: 3 }),
    });
    epochs.forEach(({ epoch, epochs: of, bestMiou }, at) => {
      expect([epoch, of, bestMiou]).toEqual([at + 1, 3, Math.max(...mious.slice(0, at + 1))]);
    });
    const kept = parts(files.get("network.weights")!).arrays;
    const then = parts(checkpoints[best - 1]!).arrays;
    expect(kept).toEqual({ weights: then.weights, stats: then.stats });
    expect(parts(checkpoints[2]!).arrays.bestWeights).toEqual(kept.weights);
    const model = await openOnnx(files.get("network.onnx")!);
    expect(model.outputs.logits?.shape).toEqual([1, 11, 32, 64]);
    expect(JSON.parse(model.metadata.classes ?? "[]")).toHaveLength(11);
    await model.release();
    expect(event.deploy?.kind).toBe("deploy.onnx");
    expect(onnxMetadata(files.get("deploy.onnx")!)).toMatchObject({
      ...{ validation_miou: String(event.validationMiou), network_size: "32x64", classes: model.metadata.classes },
    });
    expect(event.classScores).toHaveLength(11);
    const occurring = event.classScores.filter(({ occurs }) => occurs);
    expect(occurring.reduce((sum, { iou }) => sum + iou, 0) / occurring.length).toBeCloseTo(event.validationMiou, 12);
  });

  it("stores the confusion of the classes, from which the IoU of each follows", () => {
    const { classes, pixels } = JSON.parse(new TextDecoder().decode(whole.files.get("confusion.json"))) as {
      classes: { name: string; color: number[] }[];
      pixels: number[][];
    };
    expect(classes[0]).toEqual({ name: "sky", color: [70, 130, 180] });
    const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
    const ious = classes.map((_, c) => {
      const union = sum(pixels[c]!) + sum(pixels.map((row) => row[c]!)) - pixels[c]![c]!;
      return union > 0 ? pixels[c]![c]! / union : 0;
    });
    expect(whole.event.classScores.map(({ iou }) => iou)).toEqual(ious);
  });

  it("keeps the best weights while later epochs are worse, here because of an absurd rate", async () => {
    const { epochs, checkpoints } = await run(briefSpec({ seed: 2, retraining: { epochs: 4, learningRate: 5 } }));
    const mious = epochs.map(({ validationMiou }) => validationMiou!);
    checkpoints.forEach((bytes, at) => {
      const best = mious.indexOf(Math.max(...mious.slice(0, at + 1)));
      const { header, arrays } = parts(bytes);
      expect(header).toMatchObject({ epoch: at + 1, bestEpoch: best + 1, bestMiou: mious[best] });
      expect(arrays.bestWeights).toEqual(parts(checkpoints[best]!).arrays.weights);
      expect(arrays.bestStats).toEqual(parts(checkpoints[best]!).arrays.stats);
    });
  });

  it("with validate_every evaluates the first epoch, every n-th and the last, and keeps the best of these", async () => {
    const all = await run(briefSpec({ retraining: { epochs: 5, learningRate: 5e-3 } }));
    const some = await run(briefSpec({ retraining: { epochs: 5, learningRate: 5e-3, validateEvery: 3 } }));
    const mious = all.epochs.map(({ validationMiou }) => validationMiou!);
    const seen = mious.map((miou, at) => ([1, 3, 5].includes(at + 1) ? miou : undefined));
    expect(some.epochs.map(({ validationMiou }) => validationMiou)).toEqual(seen);
    expect(some.epochs.map(({ miouClasses }) => miouClasses > 0)).toEqual(seen.map((miou) => miou !== undefined));
    const best = Math.max(...seen.map((miou) => miou ?? 0));
    expect(some.event).toMatchObject({ validationMiou: best, bestEpoch: mious.indexOf(best) + 1 });
    const weights = (bytes: Uint8Array) => parts(bytes).arrays.weights;
    expect(some.checkpoints.map(weights)).toEqual(all.checkpoints.map(weights));
    const resumed = await run(briefSpec({ retraining: { epochs: 5, learningRate: 5e-3, validateEvery: 3 } }), {
      checkpoint: some.checkpoints[1]!,
    });
    expect(resumed.checkpoints.map(timeless)).toEqual(some.checkpoints.slice(2).map(timeless));
  });

  it("draws image, label and prediction of some validation images as PNG", async () => {
    expect(whole.event.predictions.map(({ kind }) => kind)).toEqual([1, 2, 3, 4].map((n) => `predictions/${n}.png`));
    const sheets = [...whole.files].filter(([kind]) => kind.endsWith(".png")).map(([, bytes]) => bytes);
    for (const bytes of sheets) {
      const { format, width, height } = await sharp(bytes).metadata();
      expect(format).toBe("png");
      expect(width).toBeGreaterThanOrEqual(3 * 64);
      expect(height).toBeGreaterThanOrEqual(32);
    }
    expect(new Set(sheets.map((bytes) => Buffer.from(bytes).toString("base64"))).size).toBe(4);
  });

  it.each([1, 3])("resumed after epoch %d has the same result as the run that was not interrupted", async (epoch) => {
    const resumed = await run(spec, { checkpoint: whole.checkpoints[epoch - 1]! });
    expect(resumed.checkpoints.map(timeless)).toEqual(whole.checkpoints.slice(epoch).map(timeless));
    for (const [kind, bytes] of whole.files) expect(Buffer.compare(resumed.files.get(kind)!, bytes)).toBe(0);
    expect({ ...resumed.event, seconds: 0 }).toEqual({ ...whole.event, seconds: 0 });
  });

  it("with ema_decay evaluates, keeps and exports the average; the checkpoint holds both, and resumed has the same bits", async () => {
    const asked = briefSpec({ retraining: { epochs: 3, learningRate: 5e-3, emaDecay: 0.9 } });
    const through = await run(asked);
    const { bestEpoch } = through.event;
    const { arrays } = parts(through.checkpoints[bestEpoch - 1]!);
    const plain = parts(whole.checkpoints[bestEpoch - 1]!).arrays;
    expect(arrays.weights).toEqual(plain.weights);
    expect(arrays.averageWeights).not.toEqual(arrays.weights);
    expect(plain).not.toHaveProperty("averageWeights");
    const kept = parts(through.files.get("network.weights")!).arrays;
    expect(kept).toEqual({ weights: arrays.averageWeights, stats: arrays.averageStats });
    const resumed = await run(asked, { checkpoint: through.checkpoints[0]! });
    expect(resumed.checkpoints.map(timeless)).toEqual(through.checkpoints.slice(1).map(timeless));
    expect(Buffer.compare(resumed.files.get("network.onnx")!, through.files.get("network.onnx")!)).toBe(0);
  });

  it("with rate_warmup_epochs begins with small steps, over a fraction of an epoch or several, also where it resumes", async () => {
    // An epoch has four steps, so a quarter of one is the first step, which has the whole rate. The first loss is that of the first weights.
    const losses = async (rateWarmupEpochs: number, checkpoint?: Uint8Array) => {
      const seen: number[] = [];
      const asked = briefSpec({ retraining: { epochs: 3, learningRate: 5e-3, rateWarmupEpochs } });
      const done = await run(asked, {
        progress: ({ step, loss }) => void (step <= 2 && seen.push(loss)),
        ...(checkpoint && { checkpoint }),
      });
      return { ...done, seen };
    };
    const [none, short, long] = [await losses(0.25), await losses(0.5), await losses(1.5)];
    expect(none.checkpoints.map(timeless)).toEqual(whole.checkpoints.map(timeless));
    expect(short.seen[0]).toBe(none.seen[0]);
    expect(short.seen[1]).not.toBe(none.seen[1]);
    expect(long.seen[1]).not.toBe(short.seen[1]);
    const resumed = await losses(1.5, long.checkpoints[0]);
    expect(resumed.checkpoints.map(timeless)).toEqual(long.checkpoints.slice(1).map(timeless));
  });

  it("with ohem_threshold takes the loss over hard pixels, so that it is higher", async () => {
    const asked = briefSpec({ retraining: { epochs: 1, learningRate: 5e-3, ohemThreshold: 0.05 } });
    const all = briefSpec({ retraining: { epochs: 1, learningRate: 5e-3 } });
    const first: number[] = [];
    for (const each of [asked, all])
      await run(each, { progress: ({ step, loss }) => void (step === 1 && first.push(loss)) });
    // Below 0.05, -log p is above 3.
    expect(first[0]).toBeGreaterThan(-Math.log(0.05));
    expect(first[0]).toBeGreaterThan(first[1]!);
  });

  it("augments as the spec says, and resumed sees the same images", async () => {
    const asked = {
      ...spec,
      augmentation: { scaleMin: 0.5, scaleMax: 2, brightness: 0.4, contrast: 0.4, saturation: 0.4 },
    };
    const through = await run(asked);
    expect(through.epochs[0]!.loss).not.toBe(whole.epochs[0]!.loss);
    const resumed = await run(asked, { checkpoint: through.checkpoints[0]! });
    expect(resumed.checkpoints.map(timeless)).toEqual(through.checkpoints.slice(1).map(timeless));
  });

  /** Weights after one epoch at a tiny rate. */
  const afterOneEpoch = async (inheritWeights: boolean) => {
    const brief = briefSpec({ retraining: { epochs: 1, learningRate: 1e-9, weightDecay: 0, inheritWeights } });
    const { checkpoints } = await run(brief);
    return parts(checkpoints[0]!).arrays.weights!;
  };

  it("starts from scratch, or with inherit_weights from the body of the supernet", async () => {
    const network = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels: 3, dropout: 0.1 });
    const [scratch, warm] = [await afterOneEpoch(false), await afterOneEpoch(true)];
    const names = network.weights.entries.map(({ name }) => name);
    const near = (weights: Float32Array, name: string, reference: Float32Array) =>
      view(weights, network.weights, name).every((value, i) => Math.abs(value - reference[i]!) < 1e-6);
    for (const name of names.filter((each) => !each.startsWith("head/")))
      expect([name, near(warm, name, view(body.weights, searched.weights, name))]).toEqual([name, true]);
    for (const name of names.filter((each) => each.startsWith("head/")))
      expect([name, near(warm, name, view(scratch, network.weights, name))]).toEqual([name, true]);
    expect(near(scratch, "stem/conv", view(body.weights, searched.weights, "stem/conv"))).toBe(false);
  });

  it("starts with the head of the search too where that is the head of retraining", async () => {
    const headed = { ...genotype, pyramidChannels: 3 };
    const source = buildDiscrete(headed, searchedHead(headed));
    const arrays = {
      weights: randomBuffer(source.weights, uniform(9)),
      stats: randomBuffer(source.stats, uniform(10)),
    };
    const brief = briefSpec({ retraining: { epochs: 1, learningRate: 1e-9, weightDecay: 0, inheritWeights: true } });
    const { checkpoints } = await run(brief, {
      searched: { genotype: headed, inherited: encodeBundle({ header: {}, arrays }) },
    });
    const { weights } = parts(checkpoints[0]!).arrays;
    expect(weights).toHaveLength(arrays.weights.length);
    expect(weights!.every((value, i) => Math.abs(value - arrays.weights[i]!) < 1e-6)).toBe(true);
  });

  it("from scratch needs no inherited weights, because the network may be given", async () => {
    const { files } = await run(spec, { given: true });
    expect(Buffer.compare(files.get("network.weights")!, whole.files.get("network.weights")!)).toBe(0);
    const warm = briefSpec({ retraining: { epochs: 1, inheritWeights: true } });
    await expect(run(warm, { given: true })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "retraining.inherit_weights is true, but there are no inherited weights",
    });
  });

  it("draws the examples in another order in each epoch", async () => {
    const still = briefSpec({ retraining: { epochs: 2, learningRate: 1e-12, weightDecay: 0, dropout: 0 } });
    const first: number[] = [];
    await run(still, { progress: ({ step, loss }) => void (step === 1 && first.push(loss)) });
    expect(first).toHaveLength(2);
    expect(Math.abs(first[0]! - first[1]!)).toBeGreaterThan(1e-3);
  });

  it("stops between two steps when its signal aborts", async () => {
    const stop = new AbortController();
    const steps: number[] = [];
    const running = run(spec, {
      signal: stop.signal,
      progress: ({ step }) => {
        steps.push(step);
        stop.abort(new LatheError("CANCELLED", "paused", { reason: "SEARCH_PAUSED" }));
      },
    });
    await expect(running).rejects.toMatchObject({ reason: "SEARCH_PAUSED" });
    expect(steps).toEqual([1]);
  });

  it("names epoch and step of a loss that is not finite, and the field to lower", async () => {
    const { header, arrays } = parts(whole.checkpoints[0]!);
    arrays.weights!.fill(NaN);
    const checkpoint = encodeBundle({ header, arrays });
    await expect(run(spec, { checkpoint })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "LOSS_NOT_FINITE",
      message: expect.stringMatching(
        /^the loss of retraining is NaN at epoch 2, step 1: lower retraining.learning_rate$/,
      ) as string,
    });
  });

  it("refuses bytes that are not inherited weights", async () => {
    const { spec: resolved } = resolve(briefSpec({ retraining: { inheritWeights: true } }));
    const empty = encodeBundle({ header: {}, arrays: {} });
    await expect(
      retrain(engine, { spec: resolved, genotype, inherited: empty }, {} as TrainingPort),
    ).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/^inherited weights hold 0 values of "weights", their network has \d+$/) as string,
    });
  });
});
