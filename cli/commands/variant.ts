import { join, resolve } from "node:path";
import { Option, type Command } from "commander";
import { availableCores, threadsFault } from "../../services/latency/cpu";
import { LatheError } from "../../shared/process/errors";
import { NUMBERS, numberFault } from "../../shared/spec/bounds";
import { complain, print, printJson } from "../exit";
import { onInterrupt } from "../interrupt";
import { encodeForm, int8Graph, logitsGraph, type Argmax } from "../variant/build";
import { dataOf, imagesOf, openData, sameClasses } from "../variant/data";
import { FILES, readTrained, type Form } from "../variant/folder";
import { measured, session } from "../variant/measure";
import { quantity } from "../view/format";
import { progressLine } from "../view/progress";
import { userFolder } from "../userFolder";
import { comparisonLines } from "../view/variant";
import { whole, writeOut } from "./options";

/** Calibration images; more changed nothing. */
const MOST_IMAGES = 100;
const IMAGES = 32;

interface VariantFlags {
  data?: string;
  argmax: Argmax;
  threads: number;
  out?: string;
  json?: boolean;
}

interface QuantizeFlags extends VariantFlags {
  images: number;
  form: Form;
}

/** `lathe network quantize` and `lathe network deploy`: variants of a trained network, which replace nothing. */
export function variantCommands(network: Command): void {
  variantOptions(network.command("quantize <folder>"), "exact")
    .description(
      "write the trained network of a result folder with int8 convolutions, and compare it with the float one: mIoU, latency, size; needs no stack",
    )
    .option("--images <number>", `calibration images of the training split, 1 to ${MOST_IMAGES}`, whole, IMAGES)
    .addOption(
      new Option("--form <form>", "class maps of camera images, or logits")
        .choices(["deploy", "logits"])
        .default("deploy"),
    )
    .action((folder: string, flags: QuantizeFlags) => quantize(folder, flags));
  variantOptions(network.command("deploy <folder>"), "early")
    .description(
      "write the deploy form of the trained network of a result folder with another place of its argmax, and compare it; needs no stack",
    )
    .action((folder: string, flags: VariantFlags) => deploy(folder, flags));
}

function variantOptions(command: Command, argmax: Argmax): Command {
  return command
    .option("--data <folder>", "folder of the data set, if it is not where the search had it")
    .addOption(
      new Option("--argmax <place>", "where classes are decided: at full size, or before the last resize")
        .choices(["exact", "early"])
        .default(argmax),
    )
    .option("--threads <number>", "CPU threads of the latency measurement", whole, 1)
    .option("--out <file>", "ONNX file to write; an existing file is replaced")
    .option("--json", "print JSON");
}

async function quantize(given: string, flags: QuantizeFlags): Promise<void> {
  const { form, images, argmax } = flags;
  if (images < 1 || images > MOST_IMAGES)
    throw new LatheError("INVALID_ARGUMENT", `--images is ${images}, must be between 1 and ${MOST_IMAGES}`);
  if (form === "logits" && argmax === "early")
    throw new LatheError("INVALID_ARGUMENT", "--argmax early is for class maps, so --form must be deploy");
  await compare(given, flags, form, `${form === "deploy" ? "deploy" : "network"}.int8.onnx`, images);
}

const deploy = (given: string, flags: VariantFlags): Promise<void> =>
  compare(given, flags, "deploy", `deploy.${flags.argmax}.onnx`, 0);

/** Builds a variant with as many calibration images, none for float, compares it with the file of the folder, and writes it. */
async function compare(given: string, flags: VariantFlags, form: Form, name: string, images: number): Promise<void> {
  const { argmax, threads, json } = flags;
  const fault = numberFault(threads, NUMBERS.profiling.threads) ?? threadsFault(threads, availableCores());
  if (fault !== undefined) throw new LatheError("INVALID_ARGUMENT", `--threads ${fault}`);
  const trained = readTrained(given);
  const source = join(trained.folder, FILES[form]);
  const target = resolve(userFolder(), flags.out ?? join(trained.folder, name));
  if (target === source)
    throw new LatheError("INVALID_ARGUMENT", `--out is ${source}, the network that is compared: name another file`);
  const data = dataOf(trained, flags.data);
  const interrupt = onInterrupt(complain);
  const { signal } = interrupt;
  const opened = await openData(data, trained.network, Math.max(1, images));
  try {
    const float = logitsGraph(trained);
    const graph = images > 0 ? await int8Graph(float, imagesOf(opened.train, signal), session()) : float;
    const said = saidOf(argmax, images > 0 ? opened.train.length : 0);
    const { validation_miou: _, ...metadata } = trained.metadata[form];
    const model = encodeForm(graph, form, argmax, { ...metadata, ...said });
    const models = [trained.files[form], model] as const;
    const same = await sameClasses(models, opened.validation, session(), signal);
    const { inputHeight: height, inputWidth: width } = trained.network.genotype;
    const how = { threads, size: { height, width }, signal };
    const [before, after] = await measured(models, data, how, json ? () => undefined : progressLine("images"));
    // The mIoU in the metadata is that of this file, so it is written once it is known.
    const miou = { validation_miou: String(after!.miou) };
    const bytes = encodeForm(graph, form, argmax, { ...metadata, ...said, ...(form === "deploy" && miou) });
    const written = writeOut(target, bytes);
    const names = ["float", images > 0 ? (argmax === "early" ? "int8, early" : "int8") : argmax] as const;
    if (json) printJson({ file: written.path, ...said, sameClasses: same, before, after });
    else
      print(
        ...comparisonLines({ names, figures: [before!, after!], sameClasses: same }),
        "",
        `${quantity(written.bytes)}B written to ${written.path}; ${FILES[form]} is unchanged`,
      );
  } finally {
    await opened.close();
    interrupt.dispose();
  }
}

/** What the metadata of a variant say about it. */
function saidOf(argmax: Argmax, images: number): Record<string, string> {
  return {
    ...(images > 0 && { quantization: `int8 weights per channel, uint8 activations, calibrated on ${images} training images` }), // prettier-ignore
    ...(argmax === "early" && { argmax: "before the last resize, enlarged by nearest neighbour" }),
  };
}
