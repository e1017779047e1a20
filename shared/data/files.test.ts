import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeImage, writeLabel } from "../testing/pictures";
import { checkAll } from "./faults";
import { checkPair, loadLabel } from "./files";
import { datasetFault } from "./dataset";
import { decodeImage } from "./images";
import { plainValues } from "./coding";

describe("an image and its label", () => {
  let folder: string;
  let pair: { image: string; label: string };
  const size = { height: 2, width: 4 };
  const load = async () => {
    const image = await decodeImage(pair.image, size);
    const label = await loadLabel(pair.label, size, { values: plainValues(3, [9]) });
    checkPair(pair, image, label);
    return { image: image.data, label: label.data };
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "lathe-pair-"));
    pair = { image: join(folder, "image.png"), label: join(folder, "label.png") };
    await writeImage(pair.image, 4, 8, 77);
    await writeLabel(pair.label, 4, 8, [0, 1, 2, 9, 255]);
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("are resized, and label values mapped", async () => {
    const { image, label } = await load();
    expect(image).toEqual(new Uint8Array(24).fill(77));
    // Centres: rows 1 and 3, columns 1, 3, 5, 7 of value (8 row + column) mod 5 in the list above.
    const stored = [9, 11, 13, 15, 25, 27, 29, 31].map((at) => [0, 1, 2, 255, 255][at % 5]);
    expect([...label]).toEqual(stored);
  });

  it.each([
    ["a missing image", () => rm(pair.image), () => `image ${pair.image} does not exist`, "NOT_FOUND"],
    ["a missing label", () => rm(pair.label), () => `label ${pair.label} does not exist`, "NOT_FOUND"],
    [
      "a text as image",
      () => writeFile(pair.image, "x"),
      () => `image ${pair.image} cannot be decoded`,
      "INVALID_ARGUMENT",
    ],
    [
      "a text as label",
      () => writeFile(pair.label, "x"),
      () => `label ${pair.label} cannot be decoded: is not a PNG`,
      "INVALID_ARGUMENT",
    ],
    [
      "another size",
      () => writeLabel(pair.label, 4, 7, [0]),
      () => `label ${pair.label} is 7x4, its image ${pair.image} is 8x4`,
      "INVALID_ARGUMENT",
    ],
    [
      "an unknown value that the resize would have skipped",
      () => writeLabel(pair.label, 4, 8, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, ...new Array<number>(21).fill(0)]),
      () => `label ${pair.label} has the unknown value 3 at x 2, y 1 (1 pixel): known are 0 to 2, 9, 255`,
      "INVALID_ARGUMENT",
    ],
    [
      "a cut image",
      async () => {
        await writeLabel(pair.image, 4, 8, [1, 5, 200, 13, 99]);
        const bytes = await readFile(pair.image);
        await writeFile(pair.image, bytes.subarray(0, bytes.length - 24));
      },
      () => `image ${pair.image} cannot be decoded`,
      "INVALID_ARGUMENT",
    ],
  ])("are refused: %s", async (_name, spoil, message, code) => {
    await spoil();
    await expect(load()).rejects.toThrow(message());
    await expect(load()).rejects.toMatchObject({ code, reason: "DATASET_INVALID" });
  });
});

describe("checkAll", () => {
  it("checks every index once, and resolves if there is no fault", async () => {
    const seen: number[] = [];
    await checkAll(9, (index) => Promise.resolve(seen.push(index)));
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it("throws the first fault by index and lists the others", async () => {
    const check = async (index: number) => {
      if (index === 2) await new Promise((resolve) => setTimeout(resolve, 5)); // known later than 5
      if (index === 2 || index === 5) throw datasetFault(`file ${index} is bad`);
    };
    await expect(checkAll(8, check)).rejects.toMatchObject({
      message: "file 2 is bad (and 1 more faulty examples)",
      reason: "DATASET_INVALID",
      violations: [{ description: "file 2 is bad" }, { description: "file 5 is bad" }],
    });
  });

  it("gives up after ten faults", async () => {
    let checked = 0;
    const check = () => {
      checked++;
      return Promise.reject(datasetFault("bad"));
    };
    await expect(checkAll(1000, check)).rejects.toThrow("bad");
    expect(checked).toBeLessThan(20);
  });
});
