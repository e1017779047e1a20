import { DatasetKind, type DatasetSpec } from "../proto/lathe/v1/spec";
import type { DatasetOptions } from "./open";

const KINDS = new Map<DatasetKind, DatasetOptions["kind"]>([
  [DatasetKind.DATASET_KIND_STREETS, "streets"],
  [DatasetKind.DATASET_KIND_CAMVID, "camvid"],
  [DatasetKind.DATASET_KIND_CITYSCAPES, "cityscapes"],
  [DatasetKind.DATASET_KIND_FOLDER, "folder"],
]);

/** How to open the dataset of a resolved spec at the size and with the classes of a space or genotype. */
export function datasetOptions(
  spec: { dataset: DatasetSpec; seed: number },
  { inputHeight, inputWidth, classes }: { inputHeight: number; inputWidth: number; classes: number },
): DatasetOptions {
  const { kind, path, trainExamples, validationExamples } = spec.dataset;
  return {
    kind: KINDS.get(kind) ?? "streets",
    height: inputHeight,
    width: inputWidth,
    classes,
    seed: spec.seed,
    ...(path && { path }),
    ...(trainExamples && { trainExamples }),
    ...(validationExamples && { validationExamples }),
  };
}
