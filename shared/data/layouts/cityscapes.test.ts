import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeText } from "../../testing/pictures";
import { cityscapesLayout } from "./cityscapes";

describe("cityscapesLayout", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "lathe-cityscapes-"));
    for (const stem of ["train/ulm/ulm_1", "train/bonn/bonn_2", "val/jena/jena_3"]) {
      await writeText(join(folder, "leftImg8bit", `${stem}_leftImg8bit.png`), "");
    }
  });
  afterEach(() => rm(folder, { recursive: true }));
  const fine = (stem: string, kind: string) => join(folder, "gtFine", `${stem}_gtFine_${kind}.png`);

  it("pairs images of all cities with train ids where they exist", async () => {
    await writeText(fine("train/bonn/bonn_2", "labelTrainIds"), "");
    const { train, validation, coding } = await cityscapesLayout(folder);
    expect(train.map(({ label }) => label)).toEqual([
      fine("train/bonn/bonn_2", "labelTrainIds"),
      fine("train/ulm/ulm_1", "labelTrainIds"),
    ]);
    expect(validation[0]?.image).toBe(join(folder, "leftImg8bit/val/jena/jena_3_leftImg8bit.png"));
    const { values = [] } = coding;
    expect([values[0], values[18], values[19], values[255]]).toEqual([0, 18, -1, 255]);
  });

  it("maps the published label ids if there are no train ids", async () => {
    const { train, coding, info } = await cityscapesLayout(folder);
    const { values: map = [] } = coding;
    expect(train[0]?.label).toBe(fine("train/bonn/bonn_2", "labelIds"));
    const named = (id: number) => info.classes[map[id] ?? -1];
    expect([7, 11, 17, 19, 20, 23, 24, 26, 28, 31, 33].map(named)).toEqual([
      "road",
      "building",
      "pole",
      "traffic light",
      "traffic sign",
      "sky",
      "person",
      "car",
      "bus",
      "train",
      "bicycle",
    ]);
    for (const id of [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255]) expect(map[id]).toBe(255);
    expect(map[34]).toBe(-1);
    expect(map.filter((to) => to >= 0 && to < 19).length).toBe(19);
    expect(info.classes.length).toBe(19);
  });

  it("names the folder that lacks images", async () => {
    await rm(join(folder, "leftImg8bit/val/jena"), { recursive: true });
    await expect(cityscapesLayout(folder)).rejects.toThrow(`${join(folder, "leftImg8bit/val")} has no file`);
    await rm(join(folder, "leftImg8bit"), { recursive: true });
    await expect(cityscapesLayout(folder)).rejects.toMatchObject({ code: "NOT_FOUND", reason: "DATASET_INVALID" });
  });
});
