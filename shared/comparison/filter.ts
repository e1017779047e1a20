import type { LeftOutSearch } from "../proto/lathe/v1/pareto";
import type { ListParetoFrontsRequest } from "../proto/lathe/v1/search";
import { DatasetKind } from "../proto/lathe/v1/spec";
import { enumWord } from "../spec/bounds";
import { leftOut, type Candidate } from "./candidate";

/** The conditions of a comparison; an empty text and 0 ask for nothing. */
type ParetoFilter = Omit<ListParetoFrontsRequest, "searchIds" | "limit">;

const kindName = (kind: DatasetKind) => enumWord(DatasetKind, "DATASET_KIND_", kind);

/** Whether a search has all of these labels. */
export const hasLabels = (found: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).every(([key, value]) => found[key] === value);

/** Why a filter leaves a candidate out; undefined where it passes. */
export function filtered({ point, conditions, labels }: Candidate, filter: ParetoFilter): LeftOutSearch | undefined {
  const out = (reason: Parameters<typeof leftOut>[1], message: string) => leftOut(point, reason, message);
  const missing = Object.entries(filter.labels).find(([key, value]) => labels[key] !== value);
  if (missing) return out("OTHER_LABELS", `the search has not the label ${missing.join("=")}`);
  const { datasetSha256, datasetKind, datasetPath } = filter;
  if (datasetSha256 && datasetSha256 !== conditions.datasetSha256)
    return out(
      "OTHER_DATA",
      `the data have ${conditions.datasetSha256 || "no recorded fingerprint"}, not ${datasetSha256}`,
    );
  if (datasetKind && datasetKind !== conditions.datasetKind)
    return out(
      "OTHER_DATA",
      `the data set is of kind ${kindName(conditions.datasetKind)}, not ${kindName(datasetKind)}`,
    );
  if (datasetPath && datasetPath !== conditions.datasetPath)
    return out("OTHER_DATA", `the data set is ${conditions.datasetPath || "generated"}, not ${datasetPath}`);
  for (const [field, what] of [
    ["deviceClass", "device class"],
    ["device", "device"],
  ] as const)
    if (filter[field] && filter[field] !== conditions[field])
      return out("OTHER_DEVICE", `the latency is of ${what} ${conditions[field] || "unknown"}, not ${filter[field]}`);
  for (const [field, what] of [
    ["inputHeight", "an input height of"],
    ["inputWidth", "an input width of"],
    ["batchSize", "a batch size of"],
    ["threads", "a number of threads of"],
  ] as const)
    if (filter[field] && filter[field] !== conditions[field])
      return out("OTHER_SETTINGS", `the latency is for ${what} ${conditions[field]}, not ${filter[field]}`);
  return undefined;
}
