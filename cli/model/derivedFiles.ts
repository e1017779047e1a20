import { existsSync, readdirSync } from "node:fs";
import type { TargetFigures } from "../../shared/proto/lathe/v1/result";

/**
 * The files of the networks before training in a result folder: first the one that the search chose, then those that repairs have made,
 * the newest first, and the derived one.
 */
export function derivedFiles(folder: string, target: Pick<TargetFigures, "chosenRepair"> | undefined): string[] {
  const numbers = existsSync(folder)
    ? readdirSync(folder).flatMap((file) => /^repaired-(\d+)\.onnx$/.exec(file)?.[1] ?? [])
    : [];
  const repaired = numbers.map(Number).sort((a, b) => b - a);
  const names = [...repaired, 0];
  const chosen = names.filter((number) => number === target?.chosenRepair);
  return [...new Set([...chosen, ...names])].map((number) =>
    number === 0 ? "derived.onnx" : `repaired-${number}.onnx`,
  );
}
