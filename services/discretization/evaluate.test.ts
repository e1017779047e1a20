import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import sharp from "sharp";
import { identityOf } from "../../shared/data/identity";
import { exportOnnx } from "../../shared/engine/onnx";
import { tf } from "../../shared/engine/tf";
import { evaluateOn } from "../../shared/evaluation/evaluateOn";
import { connect, type Bus } from "../../shared/events/bus";
import { Objects } from "../../shared/events/objects";
import { publishEvent } from "../../shared/events/publisher";
import { provision } from "../../shared/events/streams";
import { ARTIFACTS_BUCKET } from "../../shared/events/subjects";
import { encodeBundle } from "../../shared/network/bundle";
import { deployOnnx } from "../../shared/network/deploy";
import { buildDiscrete } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import { createLogger } from "../../shared/process/logger";
import {
  AxisLayout,
  DiscretizationServiceClient,
  EvaluateNetworkRequest,
  NetworkForm,
  type NetworkEvaluation,
} from "../../shared/proto/lathe/v1/discretization";
import { ArchitectureDerived, EpochCompleted } from "../../shared/proto/lathe/v1/events";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { resolve, resolveDatasetAlone } from "../../shared/spec/resolve";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { randomBuffer, randomGenotype } from "../../shared/testing/networks";
import { writeLabel, writeText } from "../../shared/testing/pictures";
import { childrenOf, isAlive } from "../../shared/testing/processes";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { uniform } from "../../shared/testing/spaces";
import { briefSpec } from "../../shared/testing/training";
import { until } from "../../shared/testing/until";
import { discretizationService } from "./rpc";

const [height, width] = [16, 24];
const session = { provider: "cpu", threads: 1 } as const;
const folder = mkdtempSync(join(tmpdir(), "lathe-evaluate-"));
const data = join(folder, "data");
const datasetOf = (path: string) => DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_FOLDER, path });
const streets = (validationExamples: number) =>
  DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_STREETS, validationExamples });

/** Class 1 where red is above 127, else class 0. */
const byRed = (inputs: "float" | "scaled" = "float") =>
  exportOnnx({
    signature: { pixels: { shape: [1, 3, height, width], dtype: "float32" } },
    constants: {},
    ...(inputs === "scaled" && { metadata: { classes: '["dark","red"]' } }),
    step: ({ pixels }) => {
      const red = tf.sub(tf.slice(pixels as tf.Tensor4D, [0, 0, 0, 0], [1, 1, height, width]), 127.5 / 255);
      return { logits: tf.concat([tf.zerosLike(red), red], 1) };
    },
  });

const field = (number: number, bytes: Buffer) =>
  Buffer.from(new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish());

let nats: TestNats;
let bus: Bus;
let rpc: TestRpc;
let artifacts: Objects;
beforeAll(async () => {
  await writeText(join(data, "classes.txt"), "dark\nbright");
  for (const [split, name] of [
    ["train", "0"],
    ["validation", "1"],
    ["validation", "2"],
  ] as const) {
    // Two columns of the left half are dark and the rest is red in image 1; all of image 2 is dark.
    const rgb = new Uint8Array(height * width * 3);
    for (let at = 0; at < height * width; at++) if (name === "1" && at % width >= 2) rgb[3 * at] = 200;
    mkdirSync(join(data, split, "images"), { recursive: true });
    await sharp(rgb, { raw: { height, width, channels: 3 } }).png().toFile(join(data, split, "images", `${name}.png`)); // prettier-ignore
    await writeLabel(join(data, split, "labels", `${name}.png`), height, width, [0, 1, 1, 255]);
  }
  await writeText(join(folder, "blank/classes.txt"), "dark\nbright");
  // An evaluation opens one of the two training images, so that the check of whole data sets does not refuse this one.
  for (const [split, name] of [
    ["train", "1"],
    ["train", "2"],
    ["validation", "3"],
  ] as const) {
    const at = (kind: string) => join(folder, "blank", split, kind, `${name}.png`);
    await writeLabel(at("labels"), height, width, split === "train" ? [0, 1] : [255]);
    await writeLabel(at("images"), height, width, [0]);
  }
  nats = await startNats();
  bus = await connect({
    url: nats.url,
    name: "discretization",
    logger: createLogger({ service: "t", write: () => {} }),
  });
  await provision(bus);
  artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  const engine = { engine: "onnxruntime", ...session } as const;
  rpc = await startRpc([discretizationService({ bus, engine, dataAccess: { folders: [folder] } })]);
});
afterAll(async () => {
  await rpc?.stop();
  await bus?.drain();
  await nats?.stop();
  rmSync(folder, { recursive: true });
});

const call = (request: Parameters<typeof EvaluateNetworkRequest.fromPartial>[0], options = {}) =>
  rpc.connect(DiscretizationServiceClient).api.evaluateNetwork(EvaluateNetworkRequest.fromPartial(request), options);

async function evaluate(request: Parameters<typeof EvaluateNetworkRequest.fromPartial>[0]) {
  const seen: number[][] = [];
  let found: NetworkEvaluation | undefined;
  for await (const { message } of call(request)) {
    if (message?.$case === "progressed") seen.push([message.value.images, message.value.imagesOf]);
    else found = message?.value;
  }
  return { seen, found: found! };
}

describe("EvaluateNetwork", () => {
  it("counts an uploaded model's pixels, as by hand and as lathe evaluate counts them", async () => {
    const model = Buffer.from(byRed("scaled"));
    const { seen, found } = await evaluate({ model, dataset: datasetOf(data), scale: 1 / 255 });
    // Labels repeat 0, 1, 1, ignored over the columns: of 24 columns, 6 are dark, 12 bright, 6 ignored. Image 1 is dark in columns 0 and 1.
    const rows = [
      [(1 + 6) * height, 5 * height],
      [(1 + 12) * height, 11 * height],
    ];
    expect(found.confusion).toEqual(rows.map((pixels) => ({ pixels })));
    expect(found.pixelAccuracy).toBe((7 + 11) / 36);
    expect(found.miou).toBeCloseTo((7 / (7 + 5 + 13) + 11 / (11 + 13 + 5)) / 2, 12);
    expect(found).toMatchObject({ miouClasses: 2, images: 2, comparedHeight: height, predictedWidth: width });
    expect(found.classScores.map(({ name, occurs }) => [name, occurs])).toEqual([["dark", true], ["bright", true]]); // prettier-ignore
    expect(found.modelForm).toMatchObject({
      input: "pixels",
      layout: AxisLayout.AXIS_LAYOUT_NCHW,
      inputHeight: height,
    });
    expect(found.note).toMatch(/^class 1 is "red" in the model and "bright" in the data set/);
    expect(seen.at(-1)?.[1] ?? 2).toBe(2);

    const local = await evaluateOn({
      ...{ model, session, seed: 1, told: { scale: 1 / 255 } },
      dataset: resolveDatasetAlone(datasetOf(data)),
    });
    expect(found.confusion.map(({ pixels }) => pixels)).toEqual(local.scores.confusion);
    expect([found.miou, found.pixelAccuracy]).toEqual([local.scores.miou, local.scores.accuracy]);
  });

  it("takes a model of any size within the bound, and refuses a larger one by name", async () => {
    // A field that ONNX does not know makes the model larger than the parts in which a request is read.
    const padded = (bytes: number) => Buffer.concat([byRed(), field(100, Buffer.alloc(bytes))]);
    const { found } = await evaluate({ model: padded(1_000_000), dataset: datasetOf(data), scale: 1 / 255 });
    expect(found.confusion[0]?.pixels).toEqual([7 * height, 5 * height]);
    await expect(evaluate({ model: Buffer.alloc(64_000_001), dataset: datasetOf(data) })).rejects.toMatchObject({
      violations: [{ field: "model", description: "has 64000001 bytes, must have at most 64000000" }],
    });
  });

  it("measures the networks of a search on its own data, in both forms", async () => {
    const { spec, space } = resolve({ ...briefSpec(), dataset: streets(3) });
    const random = uniform(4);
    const genotype = randomGenotype(space, random);
    const network = buildDiscrete(genotype, { kind: "search" });
    const arrays = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
    const searchId = uniqueSearchId();
    const file = { kind: "derived", mediaType: "application/octet-stream" };
    const bytes = networkOnnx(network, arrays, []);
    const onnx = await artifacts.put(`${searchId}/derived.onnx`, bytes, file);
    const weights = await artifacts.put(`${searchId}/derived.weights`, encodeBundle({ header: {}, arrays }), file);
    await publishEvent(bus, searchId, { type: "search.created", data: { spec, space, specSha256: "" } });
    const data = ArchitectureDerived.fromPartial({ genotype, onnx, weights, discreteMiou: 0.25 });
    await publishEvent(bus, searchId, { type: "architecture.derived", data });
    const asked = { session, seed: spec.seed, told: {}, dataset: spec.dataset };
    const local = await evaluateOn({ ...asked, model: bytes });
    // The logits are at 1/8 and the labels at full size.
    expect(local.scores.predicted).toEqual({ height: space.inputHeight / 8, width: space.inputWidth / 8 });
    for (const form of [NetworkForm.NETWORK_FORM_UNSPECIFIED, NetworkForm.NETWORK_FORM_DEPLOY]) {
      const { found } = await evaluate({ searchId, inherited: true, form });
      expect(found.images).toBe(3);
      expect(found.confusion.map(({ pixels }) => pixels)).toEqual(local.scores.confusion);
      expect(found.modelForm?.type).toBe(form === NetworkForm.NETWORK_FORM_DEPLOY ? "uint8" : "float32");
    }
    const deploy = deployOnnx(network, arrays, { classes: [], search: searchId, validationMiou: 0.25 });
    const chunks: Buffer[] = [];
    const request = { searchId, inputHeight: 0, inputWidth: 0, inherited: true, form: NetworkForm.NETWORK_FORM_DEPLOY };
    for await (const { chunk } of rpc.connect(DiscretizationServiceClient).api.exportNetwork(request))
      chunks.push(chunk);
    expect(Buffer.compare(Buffer.concat(chunks), deploy)).toBe(0);
    await expect(evaluate({ searchId })).rejects.toMatchObject({ reason: "NO_NETWORK" });
  });

  it("names what of the validation data is not that of the search", async () => {
    const { spec, space } = resolve({
      ...briefSpec({ space: { classes: 2 } }),
      dataset: DatasetSpec.fromPartial({ ...datasetOf(data) }),
    });
    const random = uniform(4);
    const genotype = randomGenotype(space, random);
    const network = buildDiscrete(genotype, { kind: "search" });
    const arrays = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
    const searchId = uniqueSearchId();
    const file = { kind: "derived", mediaType: "application/octet-stream" };
    const onnx = await artifacts.put(`${searchId}/derived.onnx`, networkOnnx(network, arrays, []), file);
    const weights = await artifacts.put(`${searchId}/derived.weights`, encodeBundle({ header: {}, arrays }), file);
    const { figures } = await identityOf({ kind: "folder", path: data });
    await publishEvent(bus, searchId, { type: "search.created", data: { spec, space, specSha256: "" } });
    const first = EpochCompleted.fromPartial({ metrics: { epoch: 1 }, dataset: figures });
    await publishEvent(bus, searchId, { type: "epoch.completed", data: first });
    const derived = ArchitectureDerived.fromPartial({ genotype, onnx, weights });
    await publishEvent(bus, searchId, { type: "architecture.derived", data: derived });
    expect((await evaluate({ searchId, inherited: true })).found.dataChange).toBe("");
    const copy = join(folder, "copy");
    cpSync(data, copy, { recursive: true });
    expect((await evaluate({ searchId, inherited: true, dataset: datasetOf(copy) })).found.dataChange).toBe("");
    await writeLabel(join(copy, "validation/labels/2.png"), height, width, [1, 0]);
    const { found } = await evaluate({ searchId, inherited: true, dataset: datasetOf(copy) });
    expect(found.dataChange).toMatch(
      /^the validation data is not that of the search \(fingerprint \w{12}, now \w{12}\): validation split: examples changed 1 \(2\.png\)$/,
    );
  });

  it("ends its process when the client cancels, and when the client's deadline passes", async () => {
    const model = Buffer.from(byRed());
    const request = { model, dataset: streets(100_000), scale: 1 / 255 };
    const before = new Set(childrenOf(process.pid));
    const own = () => childrenOf(process.pid).filter((pid) => !before.has(pid));
    const cancel = new AbortController();
    const stopped = (async () => {
      for await (const _ of call(request, { signal: cancel.signal }));
    })();
    stopped.catch(() => {});
    await until(() => own().length === 1);
    const [pid] = own();
    cancel.abort();
    await expect(stopped).rejects.toMatchObject({ code: "CANCELLED" });
    await until(() => !isAlive(pid!));

    const late = (async () => {
      for await (const _ of call(request, { deadlineMs: 1_000 }));
    })();
    await expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await until(() => own().length === 0);
  });

  it("takes four at most at once, and says when to call again", async () => {
    const request = { model: Buffer.from(byRed()), dataset: streets(100_000), scale: 1 / 255 };
    const cancel = new AbortController();
    const calls = Array.from({ length: 5 }, async () => {
      for await (const _ of call(request, { signal: cancel.signal }));
    });
    const refused = await Promise.race(calls.map((one) => one.catch((error: unknown) => error)));
    cancel.abort();
    await Promise.allSettled(calls);
    expect(refused).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "EVALUATIONS_BUSY", retryAfterMs: 5_000 });
  });

  it.each<[string, () => Parameters<typeof EvaluateNetworkRequest.fromPartial>[0], object]>([
    ["neither model nor search", () => ({}), { violations: [{ field: "model" }] }],
    [
      "both",
      () => ({ model: Buffer.from("x"), searchId: "s-1", dataset: datasetOf(data) }),
      { message: "model is set, and so is search_id; leave one out" },
    ],
    ["no data", () => ({ model: Buffer.from("x") }), { violations: [{ field: "dataset" }] }],
    [
      "data without a kind",
      () => ({ model: Buffer.from("x"), dataset: DatasetSpec.fromPartial({ path: data }) }),
      { violations: [{ field: "dataset.kind" }] },
    ],
    [
      "a mean of one number",
      () => ({ model: Buffer.from("x"), dataset: datasetOf(data), mean: [1] }),
      { message: "mean has 1 entries, must have 3, one for each channel, or none" },
    ],
    ["an unknown search", () => ({ searchId: "s-none" }), { code: "NOT_FOUND" }],
    [
      "bytes that are no ONNX model",
      () => ({ model: Buffer.from("no model"), dataset: datasetOf(data) }),
      { message: "8 bytes are no ONNX model", violations: [{ field: "model" }] },
    ],
    [
      "an input whose scale is not known",
      () => ({ model: Buffer.from(byRed()), dataset: datasetOf(data) }),
      { reason: "MODEL_UNSUPPORTED", violations: [{ field: "model" }] },
    ],
    [
      "classes that are not those of the data",
      () => ({ model: Buffer.from(byRed()), dataset: streets(1), scale: 1 / 255 }),
      { message: expect.stringContaining("one axis must have the 11 classes") as unknown },
    ],
    [
      "data outside of the folders of the service",
      () => ({ model: Buffer.from(byRed()), dataset: datasetOf(join(folder, "../else")), scale: 1 / 255 }),
      {
        violations: [{ field: "dataset" }],
        message: `dataset folder ${join(folder, "../else")} is outside of the folders of LATHE_DATA_FOLDER`,
      },
    ],
    [
      "a validation split without a label",
      () => ({ model: Buffer.from(byRed()), dataset: datasetOf(join(folder, "blank")), scale: 1 / 255 }),
      {
        reason: "DATASET_INVALID",
        message: `dataset ${join(folder, "blank")}: the validation split has no labelled pixel, so there is nothing to compare`,
      },
    ],
  ])("refuses %s", async (_, request, error) => {
    await expect(evaluate(request())).rejects.toMatchObject(error);
  });
});
