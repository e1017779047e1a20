import { basename, extname, join } from "node:path";
import { InvalidArgumentError, Option, type Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { PRESETS } from "../../shared/spec/bounds";
import { DATASET_CLASSES } from "../../shared/spec/resolve";
import { complain, print, printJson } from "../exit";
import {
  describeNetwork,
  initialOnnx,
  networkJson,
  networkLines,
  readGenotype,
  type GenotypeFlags,
} from "../spec/networkBuild";
import { datasetName, datasetNames } from "../spec/datasetNames";
import { datasetKind, readSpec, requested, type SpecFlags } from "../spec/specFlags";
import { quantity } from "../view/format";
import { label, size, whole, writeOut } from "./options";
import { runOptions, runSearch, type RunFlags } from "./run";
import { variantCommands } from "./variant";

/** Pyramid channels of the reference implementation's aggregation block. */
const PYRAMID = 40;

interface BuildFlags extends GenotypeFlags {
  head: "search" | "aggregation";
  pyramid?: number;
  seed: number;
  out?: string;
  json?: boolean;
}

interface TrainFlags extends GenotypeFlags, RunFlags, Omit<SpecFlags, "file"> {
  preset: string;
  batch?: number;
  pyramid?: number;
}

/** A number of channels, checked before any network is built. */
function channels(text: string): number {
  const value = whole(text);
  if (value < 1 || value > 1024) throw new InvalidArgumentError("It must be between 1 and 1024.");
  return value;
}

function genotypeOptions(command: Command): Command {
  return command
    .requiredOption(
      "-f, --file <genotype.json>",
      "genotype file: genotype.json of a result folder, or one of docs/examples/networks",
    )
    .option("--input <HxW>", "input height and width in pixels, instead of the file's", size)
    .option("--classes <number>", "number of classes, instead of the file's", whole);
}

/** `lathe network ...`: the commands for networks given as genotypes. */
export function networkCommand(program: Command): void {
  const network = program.command("network").description("count, export, train and quantise networks");
  genotypeOptions(network.command("build"))
    .description(
      "count the parameters and MACs of a network; with --out, export it as ONNX with initial weights; needs no stack",
    )
    .addOption(
      new Option("--head <kind>", "head of the network").choices(["search", "aggregation"]).default("aggregation"),
    )
    .option(
      "--pyramid <channels>",
      `channels of each pyramid pooling branch; default: of the genotype, else ${PYRAMID}`,
      channels,
    )
    .option("--seed <number>", "seed of the initial weights", whole, 1)
    .option("--out <network.onnx>", "ONNX file to write; an existing file is replaced")
    .option("--json", "print JSON")
    .action((flags: BuildFlags) => build(flags));

  runOptions(genotypeOptions(network.command("train")), "name of the genotype file")
    .description(
      "start a local stack (NATS and the five services), train a network from scratch and write its result folder",
    )
    .option("--dataset <kind>", `data set: ${datasetNames.join(", ")}`)
    .option("--data <folder>", "folder of the data set, relative to the current folder")
    .option("--preset <name>", `training settings that no flag sets: ${PRESETS.join(", ")}`, "small")
    .option("--epochs <number>", "number of training epochs", whole)
    .option("--batch <number>", "images per training step", whole)
    .option(
      "--pyramid <channels>",
      "channels of each pyramid pooling branch; default: of the genotype, else the preset's",
      whole,
    )
    .option("--seed <number>", "seed of all random choices", whole)
    .option("--name <text>", 'value of the label "name"')
    .option("--label <key=value>", "label to add; repeatable", label)
    .action((flags: TrainFlags) => train(flags));
  variantCommands(network);
}

function build(flags: BuildFlags): void {
  const genotype = readGenotype(flags);
  const pyramidChannels = pyramidOf(genotype, flags.pyramid);
  const head = flags.head === "search" ? { kind: flags.head } : { kind: flags.head, pyramidChannels, dropout: 0 };
  const description = describeNetwork(genotype, head);
  const written = flags.out === undefined ? undefined : writeOut(flags.out, initialOnnx(description, flags.seed));
  if (flags.json) return printJson({ ...networkJson(description), ...(written && { onnx: written.path }) });
  print(...networkLines(description));
  if (written) print("", `${quantity(written.bytes)}B written to ${written.path}, with the untrained weights of seed ${flags.seed}`); // prettier-ignore
}

/** The channels of the pyramid of a network: a genotype that has them was found with them, and its widths of the head are shares of them. */
function pyramidOf({ pyramidChannels: own = 0 }: Genotype, asked: number | undefined): number {
  if (own > 0 && asked !== undefined && asked !== own)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `--pyramid is ${asked}, must be ${own}, as pyramid_channels of the genotype says`,
    );
  return asked ?? (own || PYRAMID);
}

async function train(flags: TrainFlags): Promise<void> {
  const { file, out = join("runs", basename(file, extname(file))), json, keep } = flags;
  const genotype = readGenotype(flags);
  const { spec, said } = trainingSpec(flags, genotype);
  const checked = requested(spec);
  if (said !== undefined) (json ? complain : print)(said);
  await runSearch({ out, ...(json && { json }), ...(keep && { keep }) }, checked);
}

/** The spec that trains a given genotype without a search; `said` reports a change of its number of classes. */
export function trainingSpec(flags: TrainFlags, genotype: Genotype): { spec: SearchSpec; said: string | undefined } {
  const { file, epochs, batch, pyramid, classes, ...specFlags } = flags;
  const spec = readSpec(specFlags);
  spec.retraining = {
    ...(epochs !== undefined && { epochs }),
    ...(batch !== undefined && { batchSize: batch }),
    ...(pyramid !== undefined && { pyramidChannels: pyramid }),
  };
  const kind = datasetKind(spec);
  // The classifier is trained from scratch, so any network fits any data set. An explicit --classes is checked, not replaced.
  const own = classes === undefined ? DATASET_CLASSES.get(kind) : undefined;
  const adapted = { ...genotype, classes: own ?? genotype.classes };
  spec.algorithm = { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype: adapted };
  const said =
    adapted.classes === genotype.classes
      ? undefined
      : `the classifier has the ${adapted.classes} classes of ${datasetName(kind)}, instead of the ${genotype.classes} of ${file}`;
  return { spec, said };
}
