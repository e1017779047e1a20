import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { writeImage, writeLabel, writeText } from "../../testing/pictures";
import { setDataAccess } from "../access";
import { plainValues } from "../coding";
import { loadLabel } from "../files";
import { codingPrint, sha256 } from "../fingerprint";
import { decodeImage } from "../images";
import { openDataset, type Dataset } from "../open";
import { packCounts, unpackCounts } from "./counts";
import { DecodedFolder, entryName } from "./decodedFolder";

const SIZE = 8;
const PIXELS = SIZE * SIZE;
const CODING = codingPrint(["sky", "road"], { values: plainValues(2) });

let root: string;
const opened: Dataset[] = [];
const cache = () => ({ folder: join(root, "decoded"), bytes: 1e6 });
const decoded = () => new DecodedFolder(cache(), (line) => expect(line).toBe(""));
const path = (name: string) => join(root, "data", name);
const digestOf = async (name: string) => sha256(await readFile(path(name)));
const open = async (change: Partial<Parameters<typeof openDataset>[0]> = {}): Promise<Dataset> => {
  const options = { kind: "folder", path: join(root, "data"), height: SIZE, width: SIZE, seed: 1 } as const;
  const dataset = await openDataset({ ...options, ...change });
  opened.push(dataset);
  return dataset;
};
const contents = async (dataset: Dataset) => ({
  examples: await Promise.all([0, 1].map((index) => dataset.train.example(index))),
  figures: await dataset.figures(),
  warnings: await dataset.warnings(),
});

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "lathe-kept-"));
  await writeText(path("classes.txt"), "sky\nroad\n");
  for (const [name, level] of [
    ["train/#/a", 30],
    ["train/#/b", 60],
    ["val/#/c", 90],
  ] as const) {
    await writeImage(path(`${name.replace("#", "images")}.png`), 2 * SIZE, SIZE, level);
    await writeLabel(path(`${name.replace("#", "labels")}.png`), 2 * SIZE, SIZE, [0, 1, 255, level === 30 ? 0 : 1]);
  }
  setDataAccess({ cache: cache() });
});
afterEach(async () => {
  setDataAccess();
  await Promise.all(opened.splice(0).map((dataset) => dataset.close()));
  await rm(root, { recursive: true });
});

it.each([[undefined], [0]])(
  "gives the same of kept files as of decoded ones (memory: %p bytes)",
  async (cacheBytes) => {
    const memory = cacheBytes === undefined ? {} : { cacheBytes };
    const [first, second] = [await contents(await open(memory)), await contents(await open(memory))];
    expect(second).toEqual(first);
    setDataAccess();
    expect(await contents(await open(memory))).toEqual(first);
    expect(first.figures.train?.sizes).toEqual([{ height: 2 * SIZE, width: SIZE, images: 2 }]);
  },
);

it("takes pixels and counts from the folder, by the bytes of the files", async () => {
  const image = entryName(await digestOf("train/images/a.png"), ["image", SIZE, SIZE]);
  await decoded().put(image, { numbers: [2 * SIZE, SIZE, 1, 0], data: new Uint8Array(3 * PIXELS).fill(5) });
  const label = entryName(await digestOf("train/labels/a.png"), ["label", SIZE, SIZE, CODING]);
  await decoded().put(label, { numbers: [2 * SIZE, SIZE, 1, 0], data: new Uint8Array(PIXELS).fill(1) });
  const digests = await Promise.all(["a", "b"].map((name) => digestOf(`train/labels/${name}.png`)));
  const counts = { pixels: new Array<number>(256).fill(0).fill(3, 0, 2), byValue: true, unlisted: 0 };
  await decoded().put(entryName(sha256(digests.join("\n")), ["counts", SIZE, SIZE, CODING]), packCounts(counts));

  const dataset = await open();
  const example = await dataset.train.example(0);
  expect([example.image[0], example.label[0]]).toEqual([5, 1]);
  expect((await dataset.train.example(1)).image[0]).toBe(60);
  expect(await dataset.train.countPixels(2)).toEqual([3, 3]);

  await writeImage(path("train/images/a.png"), 2 * SIZE, SIZE, 31);
  await writeLabel(path("train/labels/a.png"), 2 * SIZE, SIZE, [0]);
  const changed = await open();
  const after = await changed.train.example(0);
  expect([after.image[0], after.label[0]]).toEqual([31, 0]);
  expect(await changed.train.countPixels(2)).toEqual([PIXELS + PIXELS / 4, PIXELS / 2]);
});

it("decodes again at another size or with another meaning of the labels", async () => {
  await open();
  expect((await (await open({ height: 2 * SIZE })).train.example(1)).image).toHaveLength(6 * PIXELS);
  await writeText(path("classes.txt"), "sky\nroad\ncar\n");
  const { figures } = await contents(await open());
  expect(figures.train?.pixels).toHaveLength(3);
});

it("finds a broken file beside kept ones", async () => {
  await open();
  await writeText(path("train/images/b.png"), "no image");
  await expect(open()).rejects.toThrow(`image ${path("train/images/b.png")} cannot be decoded`);
});

it("keeps nothing of a file that was changed after it was first read", async () => {
  const dataset = await open({ cacheBytes: 0 });
  const names = async () =>
    (await readdir(join(root, "decoded"), { recursive: true })).filter((name) => name.includes("/"));
  const before = await names();
  await rm(join(root, "decoded"), { recursive: true });
  await writeImage(path("train/images/a.png"), 2 * SIZE, SIZE, 31);
  expect((await dataset.train.example(0)).image[0]).toBe(31);
  // The label of the example is the only entry that is made again.
  expect(before.length).toBeGreaterThan(2);
  expect(await names()).toEqual([expect.stringMatching(/./)]);
});

it("has another version where decoding has changed: then raise VERSION of decodedFolder.ts, and the digests here", async () => {
  const [image, label] = [path("gradient.png"), path("classes.png")];
  const rgb = Uint8Array.from({ length: 3 * 9 * 13 }, (_, at) => (at * 37 + (at >> 3) * 11) % 256);
  await sharp(rgb, { raw: { height: 9, width: 13, channels: 3 } })
    .png()
    .toFile(image);
  await writeLabel(label, 9, 13, [0, 1, 1, 0, 255, 1]);
  const larger = await decodeImage(image, { height: 24, width: 16 });
  const smaller = await decodeImage(image, { height: 4, width: 8 });
  const classes = await loadLabel(label, { height: 8, width: 24 }, { values: plainValues(2) });
  expect([larger, smaller, classes].map(({ data }) => sha256(data).slice(0, 16))).toEqual([
    ...["19f83279db182424", "74efd01db44878c1", "b38a4794bfc1f96a"],
  ]);
});

it("keeps counts beyond 32 bits", () => {
  const counts = { pixels: Array.from({ length: 256 }, (_, at) => at * 2 ** 40), byValue: false, unlisted: 2 ** 33 };
  expect(unpackCounts(packCounts(counts))).toEqual(counts);
});
