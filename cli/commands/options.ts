import { Command, InvalidArgumentError, Option } from "commander";
import { PRESETS } from "../../shared/spec/bounds";
import type { SpecFlags } from "../spec/specFlags";
import { datasetNames } from "../spec/specFlags";

/** A whole number of a flag; the spec's own bounds are checked with the spec. */
export function whole(text: string): number {
  if (!/^[+-]?\d{1,15}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

export function label(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("It must be key=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** The flags from which a spec is made, all laid over the file. */
export function specOptions(command: Command): Command {
  return command
    .option("-f, --file <spec.yaml>", "spec as YAML or JSON")
    .option("--preset <name>", `${PRESETS.join(", ")}: what the spec does not set`)
    .option("--dataset <kind>", datasetNames.join(", "))
    .option("--data <folder>", "folder of the data set, relative to the folder you are in")
    .addOption(new Option("--seed <number>", "seed of every random choice").argParser(whole))
    .addOption(new Option("--epochs <number>", "epochs of the search").argParser(whole))
    .addOption(new Option("--retraining-epochs <number>", "epochs of retraining; 0 leaves it out").argParser(whole))
    .option("--name <text>", 'the label "name"')
    .addOption(new Option("--label <key=value>", "a label; may be given again").argParser(label));
}

export type SpecOptions = SpecFlags;
