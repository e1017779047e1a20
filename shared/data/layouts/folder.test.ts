import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeText } from "../../testing/pictures";
import { DatasetSpec } from "../../proto/lathe/v1/spec";
import { requireNone } from "../faults";
import { folderLayout } from "./folder";

describe("folderLayout", () => {
  let folder: string;
  const put = (...names: string[]) => Promise.all(names.map((name) => writeText(join(folder, name), "")));
  const read = async (spec: Partial<DatasetSpec> = {}) => {
    const layout = await folderLayout(folder, DatasetSpec.fromPartial(spec));
    requireNone(layout.faults);
    return layout;
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "lathe-folder-"));
    await writeText(join(folder, "classes.txt"), "sky 1 2 3\ntraffic light\nroad 7 8 9\n");
    await put("train/images/b.jpg", "train/images/a.png", "train/labels/a.png", "train/labels/b.png");
    await put("val/images/c.png", "val/labels/c.png");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("pairs by stem, sorted, and takes names and colours from classes.txt", async () => {
    const { info, train, validation, coding } = await read();
    expect(train).toEqual([
      { image: join(folder, "train/images/a.png"), label: join(folder, "train/labels/a.png") },
      { image: join(folder, "train/images/b.jpg"), label: join(folder, "train/labels/b.png") },
    ]);
    expect(validation.length).toBe(1);
    expect(info.classes).toEqual(["sky", "traffic light", "road"]);
    expect([info.colors[0], info.colors[2]]).toEqual([
      [1, 2, 3],
      [7, 8, 9],
    ]);
    expect(coding.values?.slice(0, 4)).toEqual([0, 1, 2, -1]);
  });

  it("prefers a folder named validation", async () => {
    await put("validation/images/x.png", "validation/labels/x.png");
    expect((await read()).validation[0]?.image).toBe(join(folder, "validation/images/x.png"));
  });

  it("gives classes without a colour one each", async () => {
    const names = Array.from({ length: 254 }, (_, i) => `class${i}`);
    await writeText(join(folder, "classes.txt"), names.join("\n"));
    const { info } = await read();
    expect(new Set(info.colors.map(String)).size).toBe(254);
    expect(Math.max(...info.colors.flat())).toBeLessThanOrEqual(255);
  });

  it.each([
    ["an image without a label", () => put("train/images/z.png"), "train/images/z.png has no label z.png"],
    ["a label without an image", () => put("val/labels/z.png"), "val/labels/z.png has no image named z"],
    ["two images of one stem", () => put("train/images/a.jpg"), "two images named a"],
    ["no classes file", () => rm(join(folder, "classes.txt")), "classes.txt does not exist"],
    [
      "one class",
      () => writeText(join(folder, "classes.txt"), "only\n"),
      "classes.txt names 1 classes, must be 2 to 254",
    ],
    ["a class twice", () => writeText(join(folder, "classes.txt"), "a\nb\na\n"), 'line 3 repeats the class "a"'],
    ["a colour too bright", () => writeText(join(folder, "classes.txt"), "a 0 0 256\nb\n"), "colours end at 255"],
    ["no labels folder", () => rm(join(folder, "train/labels"), { recursive: true }), "train/labels does not exist"],
    [
      "an empty split",
      async () => {
        await rm(join(folder, "val/images/c.png"));
        await rm(join(folder, "val/labels/c.png"));
      },
      "val/images is empty",
    ],
  ])("refuses %s by name", async (_name, spoil, message) => {
    await spoil();
    await expect(read()).rejects.toThrow(message);
    await expect(read()).rejects.toMatchObject({ reason: "DATASET_INVALID" });
  });
});
