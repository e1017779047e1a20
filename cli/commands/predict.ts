import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join, parse, resolve } from "node:path";
import type { Command } from "commander";
import { drawPrediction, palette } from "../../shared/data/drawings";
import { decodeImage } from "../../shared/data/images";
import { listNames } from "../../shared/data/reading";
import { openPredictor, type Predictor } from "../../shared/evaluation/predictor";
import { LatheError } from "../../shared/process/errors";
import { complain, print } from "../exit";
import { onInterrupt } from "../interrupt";
import { formFlags, modelOptions, readModel, type ModelFlags } from "../model/flags";
import { userFolder } from "../userFolder";

interface PredictFlags extends ModelFlags {
  out: string;
}

/** `lathe predict MODEL IMAGES...`: needs no stack. */
export function predictCommand(program: Command): void {
  modelOptions(program.command("predict <model> <images...>"))
    .description(
      "draw what an ONNX model of any origin sees in images or folders of images: class map, colours, overlay, as PNG",
    )
    .requiredOption("--out <folder>", "folder for the PNG files; a file of the same name is replaced")
    .action((model: string, images: string[], flags: PredictFlags) => predict(model, images, flags));
}

async function predict(model: string, images: readonly string[], flags: PredictFlags): Promise<void> {
  const files = await imageFiles(images);
  const interrupt = onInterrupt(complain);
  const { told, session } = formFlags(flags);
  const predictor = await openPredictor(readModel(model), told, session);
  try {
    const folder = resolve(userFolder(), flags.out);
    const colors = colorsOf(predictor.metadata);
    mkdirSync(folder, { recursive: true });
    for (const { path, name } of files) {
      interrupt.signal.throwIfAborted();
      const { data, stored } = await decodeImage(path);
      const map = await predictor.predict(data, stored);
      const drawings = await drawPrediction(data, stored, map, colors);
      for (const [kind, png] of Object.entries(drawings)) writeFileSync(join(folder, `${name}.${kind}.png`), png as Buffer); // prettier-ignore
    }
    print(`${files.length} images: classes, colors and overlay of each in ${folder}`);
  } finally {
    await predictor.release();
    interrupt.dispose();
  }
}

/** The named images, and those of the named folders. Names without their endings must differ, because they name the results. */
async function imageFiles(given: readonly string[]): Promise<{ path: string; name: string }[]> {
  const files: { path: string; name: string }[] = [];
  const known = new Map<string, string>();
  for (const each of given) {
    const at = resolve(userFolder(), each);
    const isFolder = statSync(at, { throwIfNoEntry: false })?.isDirectory() === true;
    const paths = isFolder ? (await listNames(at)).filter((file) => /\.(png|jpe?g|bmp)$/i.test(file)).map((file) => join(at, file)) : [at]; // prettier-ignore
    if (paths.length === 0) throw new LatheError("INVALID_ARGUMENT", `folder ${at} has no PNG, JPEG or BMP`);
    for (const path of paths) {
      const { name } = parse(path);
      const other = known.get(name);
      if (other !== undefined)
        throw new LatheError("INVALID_ARGUMENT", `${other} and ${path} would both be drawn as ${name}.*.png: predict them one after the other`); // prettier-ignore
      known.set(name, path);
      files.push({ path, name });
    }
  }
  return files;
}

type Color = readonly [number, number, number];

/** The colours in the metadata of our own models, else distinct ones. */
function colorsOf({ colors = "" }: Predictor["metadata"]): readonly Color[] {
  try {
    const known = JSON.parse(colors) as unknown;
    if (Array.isArray(known) && known.every((color) => Array.isArray(color) && color.length === 3))
      return known as Color[];
  } catch {
    // Absent, or another program's metadata of this name.
  }
  return palette(255);
}
