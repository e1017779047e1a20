import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { openOnnx } from "../../shared/engine/onnx";
import { packageRoot } from "../../shared/process/root";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { ModelProto } from "../../shared/proto/onnx/onnx";
import { largestGenotype } from "../../shared/space/genotype";
import { reported } from "../report/report.fixture";
import { describeNetwork, initialOnnx } from "../spec/networkBuild";
import { sha256Of, SUMS_FILE, writeBundle, writeSums } from "./bundle";
import { modelCard } from "./card";
import { modelForm } from "./model";
import { preprocessing } from "./preprocess";
import { tritonConfig } from "./triton";

const root = mkdtempSync(join(tmpdir(), "lathe-bundle-"));
afterAll(() => rmSync(root, { recursive: true }));

const { search } = reported();
const network = describeNetwork(largestGenotype(search.space!), {
  kind: "aggregation",
  pyramidChannels: 4,
  dropout: 0,
});
const onnx = initialOnnx(network, 1);

/** An ONNX file without nodes that takes images as bytes and gives classes, with open sizes. */
const open = ModelProto.encode(
  ModelProto.fromPartial({
    graph: {
      input: [{ name: "images", type: { tensorType: { elemType: 2, shape: { dim: ["n", "h", "w", 3].map(dim) } } } }],
      output: ["classes", "classes_full"].map((name) => ({
        ...{ name, type: { tensorType: { elemType: 2, shape: { dim: ["n", "h", "w"].map(dim) } } } },
      })),
    },
  }),
).finish();

function dim(size: number | string) {
  return typeof size === "string" ? { dimParam: size } : { dimValue: size };
}

describe("the bundle of a network", () => {
  const folder = join(root, "bundle");
  let files: string[];
  beforeAll(() => {
    mkdirSync(folder);
    writeFileSync(join(folder, "network.onnx"), onnx);
    files = writeBundle(search, folder, ["network.onnx"]);
    writeSums(folder, [...files, "network.onnx"]);
    // An ES module finds its packages from where it lies.
    symlinkSync(join(packageRoot(), "node_modules"), join(root, "node_modules"));
  });

  it("has labels, preprocessing, a card, programs, a Triton repository and the digests of all files", () => {
    expect(files).toEqual([
      ...["labels.txt", "preprocess.json", "predict.py", "predict.mjs", "triton/network/config.pbtxt"],
      ...["triton/network/1/model.onnx", "MODEL_CARD.md"],
    ]);
    expect(readFileSync(join(folder, "labels.txt"), "utf8").split("\n").slice(0, 2)).toEqual(["plain", "class 2"]);
    expect(JSON.parse(readFileSync(join(folder, "preprocess.json"), "utf8"))).toMatchObject({
      ...{ model: "network.onnx", layout: "NCHW", output: "logits", resize: { height: 64, width: 128 } },
      inputs: [{ name: "image", type: "float32", shape: [1, 3, 64, 128] }],
    });
    const sums = readFileSync(join(folder, SUMS_FILE), "utf8").trim().split("\n");
    expect(sums).toEqual([...files, "network.onnx"].map((name) => `${sha256Of(join(folder, name))}  ${name}`));
    expect(readFileSync(join(folder, "MODEL_CARD.md"), "utf8")).toMatch(
      /retrained mIoU \| 40\.0 % \| validation split/,
    );
  });

  it("has a program for Node that gives the classes of the network", async () => {
    const pixels = Uint8Array.from({ length: 64 * 128 * 3 }, (_, at) => (at * 7919) % 256);
    const image = join(root, "image.png");
    await sharp(pixels, { raw: { width: 128, height: 64, channels: 3 } })
      .png()
      .toFile(image);
    const target = join(root, "classes.png");
    const said = execFileSync(process.execPath, [join(folder, "predict.mjs"), image, target], { encoding: "utf8" });
    const shares = said.trim().split("\n");
    expect(shares).toHaveLength(11);
    expect(shares[0]).toMatch(/^ *\d+\.\d % {2}plain$/);
    const planes = Float32Array.from(pixels, (_, at) => pixels[3 * (at % 8192) + Math.floor(at / 8192)]! / 255);
    const model = await openOnnx(onnx);
    const { logits } = await model.run({ image: planes });
    await model.release();
    const classes = Array.from({ length: 8192 }, (_, cell) => {
      const of = Array.from({ length: 11 }, (_, c) => logits![c * 8192 + cell]!);
      return of.indexOf(Math.max(...of));
    });
    expect([...(await sharp(readFileSync(target)).extractChannel(0).raw().toBuffer())]).toEqual(classes);
  });

  it("uses the network that takes images where there is one", () => {
    const other = join(root, "deploy");
    mkdirSync(other);
    writeFileSync(join(other, "network.onnx"), onnx);
    writeFileSync(join(other, "deploy.onnx"), open);
    writeBundle(search, other, []);
    expect(JSON.parse(readFileSync(join(other, "preprocess.json"), "utf8"))).toMatchObject({
      ...{ model: "deploy.onnx", layout: "NHWC", output: "classes_full" },
    });
    expect(readFileSync(join(other, "triton/network/1/model.onnx"))).toEqual(Buffer.from(open));
  });

  it("is left out where there is no network", () => {
    const empty = join(root, "empty");
    mkdirSync(empty);
    expect(writeBundle(search, empty, [])).toEqual([]);
  });
});

describe("a Triton config", () => {
  it("batches requests where the batch of the network is open", () => {
    const config = tritonConfig("network", modelForm("deploy.onnx", open));
    for (const line of ["max_batch_size: 8", "dims: [ -1, -1, 3 ]", "data_type: TYPE_UINT8", "dynamic_batching {"])
      expect(config).toContain(line);
  });

  it("has the batch of the network where that is fixed", () => {
    const config = tritonConfig("network", modelForm("network.onnx", onnx));
    for (const line of ["max_batch_size: 0", "dims: [ 1, 3, 64, 128 ]", "data_type: TYPE_FP32"])
      expect(config).toContain(line);
    expect(config).not.toContain("dynamic_batching");
  });
});

it("a model card shows the texts of a user as they are", () => {
  const hostile = reported("a|b <script> `x`\n# y").search;
  const form = modelForm("network.onnx", onnx);
  const card = modelCard(hostile, form, []);
  expect(card).toContain("# a\\|b \\<script\\> \\`x\\` \\# y\n");
  expect(card).toContain("| a\\|b \\<script\\> \\`x\\` \\# y | does not occur |");
  expect(card).not.toMatch(/^# y|[^\\]<script/m);
  expect(preprocessing(form, ["a"])).toMatchObject({ ignoredLabel: 255 });
});

it("a model card says the licence of the data as it was given, or that it is not known", () => {
  const form = modelForm("network.onnx", onnx);
  const card = (dataset: Partial<DatasetSpec>) =>
    modelCard({ ...search, spec: { ...search.spec!, dataset: DatasetSpec.fromPartial(dataset) } }, form, []);
  const kind = DatasetKind.DATASET_KIND_FOLDER;
  expect(card({ kind })).toContain("The licence of the data is not known to Lathe; it may bind");
  expect(card({ kind, license: "CC BY-NC 4.0, <https://a.example>" })).toContain(
    "Licence of the data, as its user gave it: CC BY-NC 4.0, \\<https://a.example\\>. It may bind the use",
  );
});

it("a network of a type that no network of ours has is refused by name", () => {
  const odd = ModelProto.encode(
    ModelProto.fromPartial({ graph: { input: [{ name: "x", type: { tensorType: { elemType: 11 } } }] } }),
  );
  expect(() => modelForm("odd.onnx", odd.finish())).toThrow('"x" of odd.onnx has element type 11');
});
