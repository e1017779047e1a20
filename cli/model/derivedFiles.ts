import { existsSync, readdirSync } from "node:fs";

/** The files of the networks before training in a result folder, the newest first: those that repairs have made, then the derived one. */
export function derivedFiles(folder: string): string[] {
  const numbers = existsSync(folder)
    ? readdirSync(folder).flatMap((file) => /^repaired-(\d+)\.onnx$/.exec(file)?.[1] ?? [])
    : [];
  const repaired = numbers.map(Number).sort((a, b) => b - a);
  return [...repaired.map((number) => `repaired-${number}.onnx`), "derived.onnx"];
}
