import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { resizeIndices } from "../../shared/data/images";
import { resizeImage, type Size } from "../../shared/data/resize";
import { openOnnx } from "../../shared/engine/onnx";
import { deployOnnx } from "../../shared/network/deploy";
import { buildDiscrete } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import { packageRoot } from "../../shared/process/root";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import { Search } from "../../shared/proto/lathe/v1/search";
import { randomBuffer, randomGenotype, smallSpace } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { writeBundle } from "./bundle";

const root = mkdtempSync(join(tmpdir(), "lathe-snippets-"));
afterAll(() => rmSync(root, { recursive: true }));

const random = uniform(7);
const networkSize: Size = { height: 48, width: 64 };
const network = buildDiscrete(randomGenotype(smallSpace({ inputHeight: 48, inputWidth: 64 }), random), {
  ...{ kind: "aggregation", pyramidChannels: 3, dropout: 0 },
});
const classes = ["road", "sky", "tree", "car", "überweg"];
const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
const plain = networkOnnx(network, parameters, classes);
const colors = classes.map(() => [0, 0, 0] as const);
const deploy = deployOnnx(network, parameters, { classes, colors, search: "s-1", validationMiou: 0.5 });
const classScores = classes.map((name) => ({ name, iou: 0.5, occurs: true }));
const search = Search.fromPartial({ id: "s-1", result: SearchResult.fromPartial({ classScores }) });

/** Patches of colour, so that a map has several classes. */
const picture = ({ height, width }: Size): Uint8Array => {
  const tone = Array.from({ length: 36 }, () => 255 * random());
  return Uint8Array.from({ length: height * width * 3 }, (_, at) => {
    const [x, y] = [Math.floor(at / 3) % width, Math.floor(at / 3 / width)];
    return tone[12 * (Math.floor((y * 3) / height) % 3) + 3 * Math.floor((x * 4) / width) + (at % 3)]!;
  });
};

/** The classes of an image by the resize of training, the network, the largest logit, and nearest neighbour. */
async function expected(rgb: Uint8Array, size: Size): Promise<Uint8Array> {
  const small = resizeImage(rgb, size, networkSize);
  const cells = 48 * 64;
  const image = Float32Array.from(small, (_, at) => small[3 * (at % cells) + Math.floor(at / cells)]! / 255);
  const model = await openOnnx(plain);
  const { logits } = await model.run({ image });
  await model.release();
  const data = Uint8Array.from({ length: cells }, (_, cell) => {
    const of = classes.map((_name, c) => logits![c * cells + cell]!);
    return of.indexOf(Math.max(...of));
  });
  return resizeIndices({ data, ...networkSize }, size);
}

/** The share of the pixels at which a class map in a PNG is not as expected. */
async function difference(file: string, map: Uint8Array): Promise<number> {
  const found = await sharp(readFileSync(file)).extractChannel(0).raw().toBuffer();
  expect(found).toHaveLength(map.length);
  return map.filter((value, at) => value !== found[at]).length / map.length;
}

const folders = { plain: join(root, "plain"), deploy: join(root, "deploy") };
beforeAll(() => {
  for (const folder of Object.values(folders)) mkdirSync(folder);
  writeFileSync(join(folders.plain, "network.onnx"), plain);
  writeFileSync(join(folders.deploy, "deploy.onnx"), deploy);
  for (const folder of Object.values(folders)) writeBundle(search, folder, []);
  // An ES module finds its packages from where it lies.
  symlinkSync(join(packageRoot(), "node_modules"), join(root, "node_modules"));
});

const pythons = ["python3", "/usr/bin/python3"];
const python = pythons.find((command) => spawnSync(command, ["--version"]).status === 0);
const withPackages = pythons.find(
  (command) => spawnSync(command, ["-c", "import onnxruntime, numpy, PIL.ImageOps"]).status === 0,
);

/** The share of pixels that may differ. Pillow rounds after each axis, so that its images are off by a step here and there. */
const sizes: readonly (readonly [form: keyof typeof folders, size: Size, pillow: number])[] = [
  ["plain", networkSize, 0],
  ["plain", { height: 97, width: 120 }, 0.02],
  ["deploy", networkSize, 0],
  ["deploy", { height: 97, width: 120 }, 0],
  ["deploy", { height: 30, width: 200 }, 0],
];

/** Runs a program of a folder on an image, checks the shares that it prints, and returns the difference from the expected map. */
async function run(command: string, form: keyof typeof folders, program: string, size: Size): Promise<number> {
  const rgb = picture(size);
  const [image, target] = [join(root, `${form}.png`), join(root, `${form}.classes.png`)];
  await sharp(rgb, { raw: { ...size, channels: 3 } })
    .png()
    .toFile(image);
  const said = execFileSync(command, [join(folders[form], program), image, target], {
    encoding: "utf8",
    env: { ...process.env, PYTHONIOENCODING: "utf-8" },
  });
  const map = await expected(rgb, size);
  const found = await difference(target, map);
  const shares = classes.map((name, at) => {
    const share = (100 * map.filter((value) => value === at).length) / map.length;
    return `${share.toFixed(1).padStart(5)} %  ${name}`;
  });
  if (found === 0) expect(said.trimEnd().split("\n")).toEqual(shares);
  expect(new Set(map).size).toBeGreaterThan(1);
  return found;
}

it.each(sizes)("predict.mjs with the %s form gives an image of %j the classes of training", async (form, size) => {
  // Sums of the resize that lie within a rounding error of a step may fall to either side.
  expect(await run(process.execPath, form, "predict.mjs", size)).toBeLessThanOrEqual(0.001);
});

const inPython = withPackages === undefined ? describe.skip : describe;
inPython(
  `predict.py${withPackages === undefined ? " (skipped: no python3 with onnxruntime, numpy and PIL on PATH)" : ""}`,
  () => {
    it.each(sizes)("with the %s form gives an image of %j the classes of training", async (form, size, pillow) => {
      expect(await run(withPackages!, form, "predict.py", size)).toBeLessThanOrEqual(0.001 + pillow);
    });

    it("says how it is called where it has no image", () => {
      const { status, stderr } = spawnSync(withPackages!, [join(folders.deploy, "predict.py")], { encoding: "utf8" });
      expect([status, stderr]).toEqual([1, expect.stringContaining("python3 predict.py IMAGE [CLASS_MAP.png]")]);
    });
  },
);

const compiled = python === undefined ? it.skip : it;
compiled(`predict.py is Python${python === undefined ? " (skipped: no python3 on PATH)" : ""}`, () => {
  const { status, stderr } = spawnSync(python!, ["-m", "py_compile", join(folders.deploy, "predict.py")], {
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([0, ""]);
});
