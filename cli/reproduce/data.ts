import { statSync } from "node:fs";
import { dataChange } from "../../shared/data/change";
import { identityOf } from "../../shared/data/identity";
import { datasetOptions } from "../../shared/data/open";
import { LatheError } from "../../shared/process/errors";
import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { resolve } from "../../shared/spec/resolve";
import { recordedData } from "../search/events";
import type { Comparison } from "./compare";
import type { ResultFolder } from "./folder";

/** The comparison of the data, or why there is none; neither for scenes, which are generated. */
interface DataComparison {
  comparison?: Comparison;
  note?: string;
}

/** Compares the data set as it lies now, by its fingerprint, with the data that the search read. `moved` is where it lies now, if given. */
export async function compareData(folder: ResultFolder, moved: string | undefined): Promise<DataComparison> {
  const { spec, space } = resolve(folder.spec);
  const dataset = { ...spec.dataset, ...(moved !== undefined && { path: moved }) };
  if (dataset.kind === DatasetKind.DATASET_KIND_STREETS) return {};
  const recorded = recordedData(folder.events) ?? folder.result.dataset;
  if (!recorded) return { note: "the data: the search recorded no fingerprint" };
  const { path = "" } = dataset;
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    if (moved === undefined) return { note: `the data: it is not at ${path}; --data <folder> says where it lies` };
    throw new LatheError("INVALID_ARGUMENT", `--data is "${moved}", which is not a folder`);
  }
  const examples = (recorded.train?.examples ?? 0) + (recorded.validation?.examples ?? 0);
  return {
    comparison: {
      ...{ name: "data", from: `${path}, read again: names and bytes of ${examples} examples` },
      differences: await differencesOf(),
    },
  };

  async function differencesOf(): Promise<string[]> {
    try {
      const { figures, ...names } = await identityOf(datasetOptions({ ...spec, dataset }, space));
      const change = dataChange(recorded, figures, names);
      return change === undefined ? [] : [change];
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.reason !== "DATASET_INVALID") throw error;
      return [`the data cannot be read as the search did: ${error.message}`];
    }
  }
}
