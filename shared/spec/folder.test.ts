import { DatasetKind, DatasetSpec, SearchSpec } from "../proto/lathe/v1/spec";
import { parseSpec } from "./parse";
import { resolve } from "./resolve";

const asked = (dataset: Partial<DatasetSpec>, classes = 2) =>
  SearchSpec.fromPartial({
    preset: "tiny",
    dataset: { kind: DatasetKind.DATASET_KIND_FOLDER, path: "/data", ...dataset },
    ...(classes > 0 && { space: { classes } }),
  });

describe("the fields of a folder", () => {
  it("are read from YAML, kept by resolve, and left out of the spec's JSON where they are not set", () => {
    const text = `
preset: tiny
dataset:
  kind: folder
  path: /data
  classes: [skin, wound 200 0 0]
  label_values: {0: skin, 255: wound}
  ignore_values: [7]
  label_suffix: _mask
  train_list: train.txt
  validation_list: lists/val.txt
`;
    const { spec, space } = resolve(parseSpec(text, "spec.yaml"));
    expect(spec.dataset).toMatchObject({
      classes: ["skin", "wound 200 0 0"],
      labelValues: { "0": "skin", "255": "wound" },
      ignoreValues: [7],
      labelSuffix: "_mask",
      trainList: "train.txt",
      validationList: "lists/val.txt",
    });
    expect(space.classes).toBe(2);
    expect(resolve(spec).spec).toEqual(spec);
    expect(Object.keys(DatasetSpec.toJSON(resolve(asked({})).spec.dataset) as object)).toEqual([
      "kind",
      "path",
      "trainExamples",
      "validationExamples",
    ]);
  });

  it("keep the licence of the data, which any data set with files may have", () => {
    for (const kind of [DatasetKind.DATASET_KIND_FOLDER, DatasetKind.DATASET_KIND_CAMVID]) {
      const { spec } = resolve(asked({ kind, license: "CC BY 4.0" }, kind === DatasetKind.DATASET_KIND_FOLDER ? 2 : 0));
      expect(spec.dataset.license).toBe("CC BY 4.0");
    }
    const generated = SearchSpec.fromPartial({ preset: "tiny", dataset: { license: "CC0" } });
    expect(() => resolve(generated)).toThrow("dataset.license is set, but streets are generated; leave it out");
  });

  it.each<[Partial<DatasetSpec>, string]>([
    [{ license: "two\nlines" }, 'dataset.license is "two\nlines", must be one line of at most 1000 characters'],
    [{ license: "x".repeat(1001) }, "must be one line of at most 1000 characters"],
    [{ classes: ["only"] }, "dataset.classes has 1 entries, must have 2 to 254"],
    [{ classes: ["a", " "] }, 'dataset.classes[1] is " ", must be one line of 1 to 128 characters'],
    [{ classes: ["a", "b", "c"] }, "space.classes is 2, but dataset.classes names 3; leave it out"],
    [
      { labelValues: { "256": "a", "0": "b" } },
      'dataset.label_values["256"] has the key "256", must be a whole number from 0 to 255',
    ],
    [{ labelValues: { "01": "a", "0": "b" } }, 'dataset.label_values["01"] has the key "01"'],
    [{ labelValues: { "1": "", "0": "b" } }, 'dataset.label_values["1"] is "", must be the name of a class'],
    [{ labelValues: { "1": "a" } }, "dataset.label_values has 1 entry, must have at least 2"],
    [{ ignoreValues: [300] }, "dataset.ignore_values[0] is 300, must be a whole number from 0 to 255"],
    [
      { ignoreValues: [1], labelValues: { "1": "a", "0": "b" } },
      "dataset.ignore_values[0] is 1, which dataset.label_values lists too",
    ],
    [{ reduceZeroLabel: true, labelValues: { "1": "a", "0": "b" } }, "dataset.reduce_zero_label is true, but"],
    [{ imageSuffix: "a/b" }, 'dataset.image_suffix is "a/b", must be the end of a file name'],
    [
      { trainList: "train.txt" },
      "dataset.validation_list is not set, must be set together with the list of the other split",
    ],
    [{ validationList: "val.txt" }, "dataset.train_list is not set"],
    [
      { kind: DatasetKind.DATASET_KIND_CAMVID, ignoreValues: [0] },
      "dataset.ignore_values is set, but only kind folder has it, and the kind is camvid; leave it out",
    ],
    [{ kind: DatasetKind.DATASET_KIND_STREETS, path: "", reduceZeroLabel: true }, "dataset.reduce_zero_label is set"],
  ])("are refused: %j", (dataset, message) => {
    const kind = dataset.kind ?? DatasetKind.DATASET_KIND_FOLDER;
    expect(() => resolve(asked(dataset, kind === DatasetKind.DATASET_KIND_FOLDER ? 2 : 0))).toThrow(message);
  });
});
