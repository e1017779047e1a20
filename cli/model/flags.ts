import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { Size } from "../../shared/data/images";
import type { FormFlags } from "../../shared/evaluation/form";
import type { SessionOptions } from "../../shared/engine/session";
import { LatheError } from "../../shared/process/errors";
import { size, whole } from "../commands/options";
import { userFolder } from "../userFolder";

/** What a user says about a model where its file does not. */
export interface ModelFlags {
  input?: [number, number];
  layout?: "nchw" | "nhwc";
  scale?: number;
  mean?: number[];
  std?: number[];
  output?: string;
  threads: number;
}

/** A number or a quotient of two, such as 1/255. */
function factor(text: string): number {
  const [, dividend, divisor = "1"] = /^([\d.eE+-]+)(?:\/([\d.eE+-]+))?$/.exec(text) ?? [];
  const value = Number(dividend) / Number(divisor);
  if (dividend === undefined || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError("It must be a number above 0 or a quotient such as 1/255.");
  return value;
}

/** "0.485,0.456,0.406" as numbers. */
function channels(text: string): number[] {
  const values = text.split(",").map(Number);
  if (values.length !== 3 || !values.every(Number.isFinite) || text.split(",").some((part) => part.trim() === ""))
    throw new InvalidArgumentError("It must be three numbers, as 0.485,0.456,0.406.");
  return values;
}

function deviations(text: string): number[] {
  const values = channels(text);
  if (values.some((value) => value <= 0)) throw new InvalidArgumentError("Each must be above 0.");
  return values;
}

export function modelOptions(command: Command): Command {
  return command
    .option(
      "--input <HxW>",
      "height and width of the images that the model takes, where its file leaves them free",
      size,
    )
    .addOption(
      new Option("--layout <axes>", "axes of the model's input, where its file leaves them open").choices([
        "nchw",
        "nhwc",
      ]),
    )
    .option("--scale <number>", "a float input is (pixel * scale - mean) / std, with pixels from 0 to 255", factor)
    .option("--mean <r,g,b>", "mean of each channel, after the scale", channels)
    .option("--std <r,g,b>", "standard deviation of each channel, after the scale", deviations)
    .option("--output <name>", "the output that holds logits or classes; default: the first")
    .option("--threads <number>", "CPU threads of the model", whole, availableParallelism());
}

const sizeOf = ([height, width]: [number, number]): Size => ({ height, width });

/** What the flags say about a model, and how its session is opened. */
export function formFlags({ input, layout, scale, mean, std, output, threads }: ModelFlags): {
  told: FormFlags;
  session: SessionOptions;
} {
  if (threads < 1 || threads > 256)
    throw new LatheError("INVALID_ARGUMENT", `--threads is ${threads}, must be between 1 and 256`);
  const told = { input: input && sizeOf(input), layout, scale, mean, std, output };
  return { told, session: { provider: "cpu", threads } };
}

/** The bytes of a model, by a path relative to the user's folder. */
export function readModel(file: string): Uint8Array {
  const path = resolve(userFolder(), file);
  try {
    return readFileSync(path);
  } catch (error) {
    throw new LatheError("INVALID_ARGUMENT", `model ${path} cannot be read: ${(error as Error).message}`, {
      reason: "FILE_UNREADABLE",
      cause: error,
    });
  }
}
