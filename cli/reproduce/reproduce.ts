import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Of, SUMS_FILE } from "../bundle/bundle";
import type { Comparison } from "./compare";
import { compareData } from "./data";
import { compareDecisions, compareGenotype, compareMeasurements, compareSizes, compareSpec } from "./figures";
import { readResultFolder } from "./folder";
import { compareNetworks } from "./network";

/** What no events and files can derive again. */
const NOT_COMPARED =
  "not compared: weights, mIoU and IoU as computed from images, seconds and latency as measured; these need the data set, or the machine";

/**
 * Derives the genotype and the figures of a result folder again from its spec, events and weights, and compares the data set as it lies now
 * with what the search read. `data` is its folder where it has been moved.
 */
export async function reproduce(
  folder: string,
  data?: string,
): Promise<{ comparisons: Comparison[]; notCompared: string }> {
  const read = readResultFolder(folder);
  const ofData = await compareData(read, data);
  const comparisons = [
    compareFiles(folder),
    ...compareSpec(read),
    compareDecisions(read),
    compareGenotype(read),
    compareSizes(read),
    compareMeasurements(read),
    ...compareNetworks(read),
    ofData.comparison,
  ].filter((comparison) => comparison !== undefined);
  return { comparisons, notCompared: ofData.note ? `${NOT_COMPARED}\nnot compared: ${ofData.note}` : NOT_COMPARED };
}

/** Compares the digests of the files with those of the manifest. */
function compareFiles(folder: string): Comparison | undefined {
  const manifest = join(folder, SUMS_FILE);
  if (!existsSync(manifest)) return undefined;
  const lines = readFileSync(manifest, "utf8").split("\n").filter(Boolean);
  return {
    ...{ name: "files", from: `${SUMS_FILE}: ${lines.length} files` },
    differences: lines.flatMap((line) => {
      const [, digest, name = ""] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
      const file = join(folder, name);
      if (digest === undefined)
        return [`${SUMS_FILE} has the line ${JSON.stringify(line)}, must be a SHA-256 and a name`];
      if (!existsSync(file)) return [`${name} is missing`];
      return sha256Of(file) === digest ? [] : [`${name} has changed since it was written`];
    }),
  };
}
