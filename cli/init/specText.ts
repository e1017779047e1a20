import { datasetName } from "../spec/datasetNames";
import { percent } from "../view/format";
import type { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import type { Size } from "../../shared/data/images";

/** What a written spec holds. */
export interface Written {
  /** Lines of the comment at the top. */
  readonly about: readonly string[];
  readonly preset: string;
  readonly kind: DatasetKind;
  readonly path: string;
  readonly fields: Partial<DatasetSpec>;
  /** Share of the pixels per class of `fields.classes`. */
  readonly shares: readonly number[];
  /** What was assumed about the labels. */
  readonly assumed: readonly string[];
  readonly input: Size;
  /** Batch size of both trainings; undefined for the preset's. */
  readonly batchSize: number | undefined;
}

/** A spec as YAML with comments. Texts are in quotes as JSON has them, which YAML reads. */
export function specText({ about, preset, kind, path, fields, shares, assumed, input, batchSize }: Written): string {
  const { classes = [], labelValues = {}, trainList, validationList } = fields;
  const values = Object.entries(labelValues).map(([value, name]) => `${value}: ${JSON.stringify(name)}`);
  return [
    ...about.map((line) => `# ${line}`),
    `preset: ${preset}`,
    "",
    "dataset:",
    `  kind: ${datasetName(kind)}`,
    "  # Relative to the folder in which lathe is called.",
    `  path: ${JSON.stringify(path)}`,
    ...(trainList && validationList
      ? [
          "  # Relative to the data folder: a line is an image, or an image and its label.",
          `  train_list: ${JSON.stringify(trainList)}`,
          `  validation_list: ${JSON.stringify(validationList)}`,
        ]
      : []),
    ...(classes.length > 0
      ? [
          ...assumed.map((line) => `  # Assumed: ${line}.`),
          '  # "name" or "name r g b", in the order of their indices, with their share of the pixels.',
          "  classes:",
          ...classes.map((line, at) => `    - ${JSON.stringify(line)} # ${percent(shares[at] ?? 0)}`),
        ]
      : []),
    ...(values.length > 0
      ? ["  # The class of each value that labels store.", `  label_values: { ${values.join(", ")} }`]
      : []),
    "",
    "space:",
    "  # Near the aspect of the images; a multiple of what the network divides it by. Images and labels are resized to it.",
    `  input_height: ${input.height}`,
    `  input_width: ${input.width}`,
    ...(batchSize === undefined
      ? []
      : [
          "",
          "# The preset's batch is larger than the training split.",
          `training: { batch_size: ${batchSize} }`,
          `retraining: { batch_size: ${batchSize} }`,
        ]),
    "",
  ].join("\n");
}
