import type { DatasetSpec } from "../proto/lathe/v1/spec";
import { MAX_CLASSES } from "../space/validate";
import { MAX_CLASS_LENGTH, MAX_PATH_LENGTH, MAX_SUFFIX_LENGTH, clip, snakeCase, type Fault } from "./bounds";

/** The fields of a data set that only kind folder has. */
const FIELDS = [
  "classes",
  "labelValues",
  "ignoreValues",
  "reduceZeroLabel",
  "imageSuffix",
  "labelSuffix",
  "trainList",
  "validationList",
] as const;

/** Records a fault for each field of kind folder that a data set of another kind sets. */
export function refuseFolderFields(dataset: DatasetSpec, kind: string, fault: Fault): void {
  for (const field of FIELDS) {
    const value = dataset[field];
    const isSet = typeof value === "object" ? Object.keys(value).length > 0 : Boolean(value);
    if (isSet)
      fault(
        `dataset.${snakeCase(field)}`,
        `is set, but only kind folder has it, and the kind is ${kind}; leave it out`,
      );
  }
}

/** Records the faults of the fields that only kind folder has. */
export function checkFolder(dataset: DatasetSpec, fault: Fault): void {
  const { classes, labelValues, ignoreValues, reduceZeroLabel, trainList, validationList } = dataset;
  if (classes.length === 1 || classes.length > MAX_CLASSES)
    fault("dataset.classes", `has ${classes.length} entries, must have 2 to ${MAX_CLASSES}`);
  classes.slice(0, MAX_CLASSES).forEach((line, at) => {
    if (line.trim() === "" || line.length > MAX_CLASS_LENGTH || line.includes("\n"))
      fault(`dataset.classes[${at}]`, `is "${clip(line)}", must be one line of 1 to ${MAX_CLASS_LENGTH} characters`);
  });
  const values = Object.entries(labelValues);
  for (const [value, name] of values.slice(0, 256 + 1)) {
    const at = `dataset.label_values["${clip(value)}"]`;
    if (!isByte(value)) fault(at, `has the key "${clip(value)}", must be a whole number from 0 to 255`);
    if (name === "" || name.length > MAX_CLASS_LENGTH)
      fault(at, `is "${clip(name)}", must be the name of a class, of 1 to ${MAX_CLASS_LENGTH} characters`);
  }
  if (values.length === 1) fault("dataset.label_values", "has 1 entry, must have at least 2: one for each class");
  ignoreValues.slice(0, 256 + 1).forEach((value, at) => {
    if (!isByte(String(value)))
      fault(`dataset.ignore_values[${at}]`, `is ${value}, must be a whole number from 0 to 255`);
    else if (Object.hasOwn(labelValues, String(value)))
      fault(`dataset.ignore_values[${at}]`, `is ${value}, which dataset.label_values lists too`);
  });
  if (reduceZeroLabel && values.length > 0)
    fault(
      "dataset.reduce_zero_label",
      "is true, but dataset.label_values says what each value means; set one of the two",
    );
  checkTexts(dataset, fault);
  if ((trainList === "") !== (validationList === ""))
    fault(
      trainList === "" ? "dataset.train_list" : "dataset.validation_list",
      "is not set, must be set together with the list of the other split",
    );
}

function checkTexts(dataset: DatasetSpec, fault: Fault): void {
  for (const field of ["imageSuffix", "labelSuffix"] as const) {
    const suffix = dataset[field];
    if (suffix.length > MAX_SUFFIX_LENGTH || /[/\\\0]/.test(suffix))
      fault(
        `dataset.${snakeCase(field)}`,
        `is "${clip(suffix)}", must be the end of a file name of at most ${MAX_SUFFIX_LENGTH} characters`,
      );
  }
  for (const field of ["trainList", "validationList"] as const) {
    const path = dataset[field];
    if (path.length > MAX_PATH_LENGTH || path.includes("\0"))
      fault(
        `dataset.${snakeCase(field)}`,
        `has ${path.length} characters, must be a path of at most ${MAX_PATH_LENGTH}`,
      );
  }
}

const isByte = (text: string): boolean => /^(0|[1-9]\d{0,2})$/.test(text) && Number(text) <= 255;
