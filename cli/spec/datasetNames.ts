import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { enumWord, valuesOf } from "../../shared/spec/bounds";

export const datasetName = (kind: DatasetKind): string => enumWord(DatasetKind, "DATASET_KIND_", kind);

const kinds = new Map(valuesOf(DatasetKind).map((kind) => [datasetName(kind), kind]));

/** The words for the kinds of data sets, as specs and flags have them. */
export const datasetNames = [...kinds.keys()];

/** The kind of a word; undefined for an unknown word. */
export const datasetKindOf = (name: string): DatasetKind | undefined => kinds.get(name);
