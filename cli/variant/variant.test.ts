import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { onnxMetadata } from "../../shared/engine/onnx";
import { openPredictor } from "../../shared/evaluation/predictor";
import { deployOnnx } from "../../shared/network/deploy";
import { buildDiscrete } from "../../shared/network/discrete";
import type { Head } from "../../shared/space/head";
import { encodeBundle } from "../../shared/network/bundle";
import { networkOnnx } from "../../shared/network/export";
import { streetsInfo } from "../../shared/data/streets/classes";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { randomBuffer, randomGenotype, smallSpace } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { encodeForm, int8Graph, logitsGraph } from "./build";
import { dataOf, imagesOf, openData, sameClasses } from "./data";
import { readTrained } from "./folder";
import { session, type Figures } from "./measure";

interface Printed {
  file: string;
  sameClasses: number;
  before: Figures;
  after: Figures;
}

const folder = mkdtempSync(join(tmpdir(), "lathe-variant-"));
afterAll(() => rmSync(folder, { recursive: true }));

const random = uniform(31);
const classes = streetsInfo.classes;
const space = smallSpace({ inputHeight: 64, inputWidth: 128, classes: classes.length });
const genotype = randomGenotype(space, random);
const head: Head = { kind: "aggregation", pyramidChannels: 8, dropout: 0 };
const network = buildDiscrete(genotype, head);
const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
const dataset = { kind: "DATASET_KIND_STREETS", trainExamples: 6, validationExamples: 3 };

const lathe = (...args: string[]) => {
  const tsx = pathToFileURL(require.resolve("tsx")).href;
  const { INIT_CWD: _, ...env } = process.env;
  const program = ["--import", tsx, join(__dirname, "../lathe.ts"), "network", ...args];
  return spawnSync(process.execPath, program, { cwd: folder, env, encoding: "utf8" });
};

beforeAll(() => {
  writeFileSync(join(folder, "genotype.json"), JSON.stringify(Genotype.toJSON(genotype)));
  writeFileSync(join(folder, "network.weights"), encodeBundle({ header: { head }, arrays: parameters }));
  writeFileSync(join(folder, "network.onnx"), networkOnnx(network, parameters, classes));
  writeFileSync(
    join(folder, "deploy.onnx"),
    deployOnnx(network, parameters, { classes, search: "s-1", validationMiou: 0.5 }),
  );
  const spec = { preset: "tiny", seed: 4, dataset, space: { inputHeight: 64, inputWidth: 128 } };
  writeFileSync(join(folder, "result.json"), JSON.stringify({ search: "s-1", spec }));
});

describe("a variant of a trained network", () => {
  const { signal } = new AbortController();
  const open = (trainExamples: number) => {
    const trained = readTrained(folder);
    return openData(dataOf(trained), trained.network, trainExamples);
  };

  it("with int8 convolutions gives nearly the classes of the float network, for any number of images", async () => {
    const opened = await open(4);
    const trained = readTrained(folder);
    expect(opened.train.length).toBe(4);
    const graph = await int8Graph(logitsGraph(trained), imagesOf(opened.train, signal), session());
    for (const form of ["deploy", "logits"] as const) {
      const model = encodeForm(graph, form, "exact", trained.metadata[form]);
      const same = await sameClasses([trained.files[form], model], opened.validation, session(), signal);
      expect(same).toBeGreaterThan(0.9);
      expect(same).toBeLessThan(1);
    }
    await opened.close();
  });

  it("with an early argmax has the class of the nearest cell of its small logits", async () => {
    const trained = readTrained(folder);
    const float = logitsGraph(trained);
    const exact = encodeForm(float, "deploy", "exact", trained.metadata.deploy);
    const early = encodeForm(float, "deploy", "early", trained.metadata.deploy);
    const opened = await open(1);
    const { image } = await opened.validation.example(0);
    const size = { height: 64, width: 128 };
    const [one, other] = await Promise.all([exact, early].map((model) => openPredictor(model, {}, session())));
    const [a, b] = [await one!.predict(image, size), await other!.predict(image, size)];
    // The logits are at 1/4 with equal ends: where a cell lies on a pixel, nothing is interpolated.
    for (const [y, x] of [
      [0, 0],
      [0, 127],
      [63, 0],
      [63, 127],
    ] as const)
      expect(b.data[y * 128 + x]).toBe(a.data[y * 128 + x]);
    const cell = (to: number, from: number, at: number) => Math.round((at * (from - 1)) / (to - 1));
    const known = new Map<string, number>();
    for (let y = 0; y < 64; y++)
      for (let x = 0; x < 128; x++) {
        const key = `${cell(64, 16, y)} ${cell(128, 32, x)}`;
        if (!known.has(key)) known.set(key, b.data[y * 128 + x]!);
        expect(b.data[y * 128 + x]).toBe(known.get(key));
      }
    const same = await sameClasses([exact, early], opened.validation, session(), signal);
    expect(same).toBeGreaterThan(0.6);
    expect(same).toBeLessThan(1);
    await Promise.all([one!.release(), other!.release(), opened.close()]);
  });

  it("is written by lathe network quantize, with its figures beside those of the float one, and replaces nothing", () => {
    const kept = readFileSync(join(folder, "deploy.onnx"));
    const { status, stdout, stderr } = lathe("quantize", ".", "--images", "3", "--json");
    expect([status, stderr]).toEqual([0, ""]);
    const { file, sameClasses: same, before: float, after } = JSON.parse(stdout) as Printed;
    expect(file).toBe(join(folder, "deploy.int8.onnx"));
    expect(same).toBeGreaterThan(0.9);
    for (const { miou, p50Seconds, bytes } of [float, after])
      expect([miou > 0, p50Seconds > 0, bytes > 1000]).toEqual([true, true, true]);
    const metadata = onnxMetadata(readFileSync(file));
    expect(metadata.quantization).toMatch(/int8 .* 3 training images/);
    expect(Number(metadata.validation_miou)).toBe(after.miou);
    expect(readFileSync(join(folder, "deploy.onnx"))).toEqual(kept);
  });

  it.each([
    [["quantize", "missing"], 2, "has no network.weights: it must be the result folder of a search"],
    [["quantize", ".", "--images", "101"], 2, "--images is 101, must be between 1 and 100"],
    [["quantize", ".", "--form", "logits", "--argmax", "early"], 2, "--argmax early is for class maps"],
    [["quantize", ".", "--threads", "0"], 2, "--threads is 0, must be "],
    [["deploy", ".", "--out", "deploy.onnx"], 2, "the network that is compared: name another file"],
    [["deploy", ".", "--data", "gone"], 2, 'gone", but streets are generated'],
  ])("is refused by name for %j", (args, code, message) => {
    const { status, stdout, stderr } = lathe(...args);
    expect([status, stdout]).toEqual([code, ""]);
    expect(stderr).toContain(message);
  });

  it("is refused where the network is too narrow or gives no numbers", async () => {
    const opened = await open(1);
    const trained = readTrained(folder);
    const images = () => imagesOf(opened.train, signal);
    const narrow = { ...logitsGraph(trained), nodes: [] };
    await expect(int8Graph(narrow, images(), session())).rejects.toThrow("no convolution has 8 or more input channels");
    const weights = trained.parameters.weights.map((value) => value * 1e30);
    const wild = logitsGraph({ ...trained, parameters: { ...trained.parameters, weights } });
    await expect(int8Graph(wild, images(), session())).rejects.toThrow("cannot be quantised: ");
    await opened.close();
  });
});
