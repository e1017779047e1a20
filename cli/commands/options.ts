import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { PRESETS } from "../../shared/spec/bounds";
import { LatheError } from "../../shared/process/errors";
import { datasetNames } from "../spec/datasetNames";
import { userFolder } from "../userFolder";

/** The whole number of a flag. Bounds are checked later, with the spec. */
export function whole(text: string): number {
  if (!/^[+-]?\d{1,15}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

/** The training workers of a local stack: no more than the machine has cores. */
export function workers(text: string): number {
  const [value, cores] = [whole(text), availableParallelism()];
  if (value < 1 || value > cores)
    throw new InvalidArgumentError(`It must be 1 to ${cores}, the logical cores of this machine.`);
  return value;
}

/** "1,4,8" as whole numbers. */
export const wholes = (text: string): number[] => text.split(",").map(whole);

/** "240x320" as height and width. */
export function size(text: string): [number, number] {
  const [, height, width] = /^(\d{1,5})x(\d{1,5})$/.exec(text) ?? [];
  if (height === undefined || width === undefined)
    throw new InvalidArgumentError("It must be height x width in pixels, as 240x320.");
  return [Number(height), Number(width)];
}

export function label(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("It must be key=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Adds the flags of a spec. A flag overrides the same field of the file. */
export function specOptions(command: Command): Command {
  return command
    .option("-f, --file <spec.yaml>", "spec file (YAML or JSON)")
    .option("--preset <name>", `values for all that the spec does not set: ${PRESETS.join(", ")}`)
    .option("--dataset <kind>", `data set: ${datasetNames.join(", ")}`)
    .option("--data <folder>", "folder of the data set, relative to the current folder")
    .option("--seed <number>", "seed of all random choices", whole)
    .option("--epochs <number>", "number of search epochs", whole)
    .option("--retraining-epochs <number>", "number of retraining epochs; 0 skips retraining", whole)
    .option("--name <text>", 'value of the label "name"')
    .option("--label <key=value>", "label to add; repeatable", label);
}

/** Writes the file of a flag, relative to the user's folder, and replaces an existing one. OUT_UNUSABLE names the path. */
export function writeOut(out: string, content: Uint8Array | string): { path: string; bytes: number } {
  const path = resolve(userFolder(), out);
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  } catch (error) {
    throw new LatheError("FAILED_PRECONDITION", `${path} cannot be written: ${(error as Error).message}`, {
      reason: "OUT_UNUSABLE",
      cause: error,
    });
  }
  return { path, bytes: Buffer.byteLength(content) };
}
