import { basename } from "node:path";
import { DatasetFigures } from "../proto/lathe/v1/result";
import type { Split } from "./dataset";
import { requireNone } from "./faults";
import { codingPrint, dataPrint, sha256, splitPrint } from "./fingerprint";
import { usedFiles, type Pair } from "./layouts/layout";
import { listFiles } from "./open";
import { MAX_IMAGE_BYTES, readBytes } from "./reading";

/** The identity of the data of a data set, with the names of its examples. */
interface Identity {
  /** As Dataset.figures(), without what is counted in pixels. */
  readonly figures: DatasetFigures;
  readonly train: Pick<Split, "name">;
  readonly validation: Pick<Split, "name">;
}

/** Identifies a data set of files by their names and bytes. Nothing is decoded, so it takes the time of reading. DATASET_INVALID names a fault. */
export async function identityOf(
  options: Parameters<typeof listFiles>[0] & Parameters<typeof usedFiles>[0],
): Promise<Identity> {
  const layout = await listFiles(options);
  requireNone(layout.faults);
  const { train, validation } = usedFiles(options, layout);
  const digests = new Map<string, string>();
  for (const path of [...train, ...validation].flatMap(({ image, label }) => [image, label]))
    if (!digests.has(path)) digests.set(path, sha256(await readBytes(path, "dataset file", MAX_IMAGE_BYTES)));
  const print = (pairs: readonly Pair[]) => ({
    examples: pairs.length,
    ...splitPrint(options.path ?? "", pairs, (path) => digests.get(path) ?? ""),
  });
  const splits = { train: print(train), validation: print(validation) };
  const codingSha256 = codingPrint(layout.info.classes, layout.coding);
  const whole = dataPrint(codingSha256, splits.train.sha256, splits.validation.sha256);
  const named = (pairs: readonly Pair[]) => ({ name: (index: number) => basename(pairs[index]?.image ?? "") });
  return {
    figures: DatasetFigures.fromPartial({ sha256: whole, codingSha256, classes: [...layout.info.classes], ...splits }),
    train: named(train),
    validation: named(validation),
  };
}
