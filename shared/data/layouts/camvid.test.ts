import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeText } from "../../testing/pictures";
import { camvidLayout } from "./camvid";

describe("camvidLayout", () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lathe-camvid-"))));
  afterEach(() => rm(folder, { recursive: true }));

  it("takes its pairs from the lists and ignores label 11", async () => {
    await writeText(join(folder, "train.txt"), "train/a.png trainannot/a.png\r\n\ntrain/b.png trainannot/b.png\n");
    await writeText(join(folder, "val.txt"), "val/c.png valannot/c.png");
    const { info, train, validation, coding } = await camvidLayout(folder);
    expect(train.map(({ image }) => image)).toEqual([join(folder, "train/a.png"), join(folder, "train/b.png")]);
    expect(validation).toEqual([{ image: join(folder, "val/c.png"), label: join(folder, "valannot/c.png") }]);
    expect(info.classes.length).toBe(11);
    expect(info.colors.length).toBe(11);
    const { values = [] } = coding;
    expect(values.slice(0, 13)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255, -1]);
    expect([values[254], values[255]]).toEqual([-1, 255]);
  });

  it("names the folder, list or line at fault", async () => {
    const missing = join(folder, "nowhere");
    await expect(camvidLayout(missing)).rejects.toMatchObject({ code: "NOT_FOUND", reason: "DATASET_INVALID" });
    await expect(camvidLayout(missing)).rejects.toThrow(missing);
    await expect(camvidLayout(folder)).rejects.toThrow(join(folder, "train.txt"));
    await writeText(join(folder, "train.txt"), "a.png b.png\nonly-one.png\n");
    await expect(camvidLayout(join(folder, "train.txt"))).rejects.toThrow("is a regular file, must be a folder");
    await writeText(join(folder, "val.txt"), "c.png d.png\n\n1 2 3\n");
    const { train, faults } = await camvidLayout(folder);
    expect(train).toHaveLength(1);
    expect(faults.map(({ message }) => message)).toEqual([
      `${join(folder, "train.txt")} line 2 is "only-one.png", must be "image label"`,
      `${join(folder, "val.txt")} line 3 is "1 2 3", must be "image label"`,
    ]);
  });
});
