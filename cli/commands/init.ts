import { isAbsolute, relative, resolve as resolvePath } from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { PRESETS } from "../../shared/spec/bounds";
import { isPreset } from "../../shared/spec/presets";
import { invocation } from "../invocation";
import { complain, print } from "../exit";
import { planned, type InitPlan, type InitRequest } from "../init/plan";
import { chosenPreset } from "../init/preset";
import { fitted, writeSpec } from "../init/write";
import { onInterrupt } from "../interrupt";
import { readAll, requireFaultless } from "../spec/dataCheck";
import { userFolder } from "../userFolder";
import { dataReportLines } from "../view/dataReport";
import { progressLine } from "../view/progress";
import { whole } from "./options";

interface InitFlags {
  out: string;
  preset?: string;
  validation: number;
  seed: number;
  together: number;
  force?: boolean;
}

/** `lathe init`: needs no stack. */
export function initCommand(program: Command): void {
  program
    .command("init <folder>")
    .description("look at a folder of images and labels, and write a spec that searches a network for it")
    .option("-o, --out <file>", "spec to write; lists of a division are written beside it", "spec.yaml")
    .option("--preset <name>", `${PRESETS.join(", ")}; default: small, or tiny where small takes over an hour here`)
    .option("--validation <share>", "share of the images for validation, where the folder has no splits", share, 0.2)
    .option("--seed <number>", "seed of that division", whole, 1)
    .option(
      "--together <images>",
      "so many images of consecutive names, as frames of a video, stay in one split, where the folder has none",
      count,
      1,
    )
    .option("--force", "replace existing files")
    .action((folder: string, flags: InitFlags) => init(folder, flags));
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError("It must be a number between 0 and 1.");
  return value;
}

function count(text: string): number {
  const value = whole(text);
  if (value < 1) throw new InvalidArgumentError("It must be at least 1.");
  return value;
}

async function init(folder: string, { out, preset, ...flags }: InitFlags): Promise<void> {
  if (preset !== undefined && !isPreset(preset))
    throw new LatheError("INVALID_ARGUMENT", `--preset is "${preset}", must be one of ${PRESETS.join(", ")}`);
  const at = (path: string): string => resolvePath(userFolder(), path);
  const request: InitRequest = { path: at(folder), out: at(out), force: false, ...flags };
  const plan = await planned(request, progressLine("labels"));
  print(...foundLines(folder, plan), ...plan.proposal.assumed.map((line) => `assumed: ${line}`));
  const interrupt = onInterrupt(complain);
  try {
    const chosen = await chosenPreset(preset, plan, interrupt.signal);
    const rest = { ...fitted(chosen.preset, plan), preset: chosen.preset };
    const about = ['Written by "lathe init".', ...foundLines(folder, plan), ...chosen.lines];
    print(...chosen.lines);
    if (preset === undefined)
      print(
        "For larger images and a network of a given latency, give --preset medium, and --force to replace the spec.",
      );
    const path = isAbsolute(folder) ? folder : relative(userFolder(), request.path) || ".";
    const written = writeSpec(request, plan, { ...rest, about, path });
    // The spec is there before its data is read by it.
    const report = await readAll(plan.dataset);
    print(...dataReportLines(report, request.path));
    print(`written: ${written.map((file) => relative(userFolder(), file)).join(", ")}`);
    requireFaultless(report, folder);
    print(`next: ${invocation()} run -f ${quoted(relative(userFolder(), request.out))}`);
  } finally {
    interrupt.dispose();
  }
}

/** A path as a shell takes it. */
const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replace(/'/g, "'\\''")}'`);

/** What was found, as lines of text. */
const foundLines = (folder: string, { what, divided: { train, validation, how } }: InitPlan): string[] => [
  `${folder}: ${what}.`,
  `${train.length} training and ${validation.length} validation images, divided ${how}.`,
];
