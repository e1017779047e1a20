import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { size, writeOut } from "../cli/commands/options";
import { svgOf } from "../cli/plot/svg";
import { readSpec } from "../cli/spec/specFlags";
import { openModel } from "../shared/engine/model";
import { createRandom } from "../shared/engine/random";
import { evaluateOn } from "../shared/evaluation/evaluateOn";
import type { FormFlags, ModelForm } from "../shared/evaluation/form";
import { LatheError } from "../shared/process/errors";
import { resolve } from "../shared/spec/resolve";
import { frontPlot } from "./front/plot";
import { names, networks, ratiosOf } from "./front/tables";
import { median, positive, type Measurement } from "./measurement";
import { inTurns, timed } from "./network";

/** A class map network of any origin, and the name that it shares with its other seeds. */
interface Entrant {
  name: string;
  file: string;
}

/**
 * Pareto front of class map networks of any origin: mIoU on the validation split as `lathe evaluate` measures it, and the batch-1 latency of
 * all of them in turns, so that a change of the machine's speed meets each alike. Arguments: NAME=FILE.onnx, once for each seed of a name;
 * --data, --dataset (default camvid), --input HxW, --threads, --rounds, --svg file. A float input takes pixels of 0 to 1, as the files of
 * `peers` do.
 */
export async function front(args: readonly string[]): Promise<Measurement[]> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      data: { type: "string" },
      dataset: { type: "string", default: "camvid" },
      input: { type: "string", default: "240x320" },
      threads: { type: "string", default: "1" },
      rounds: { type: "string", default: "8" },
      svg: { type: "string" },
    },
  });
  const entrants = positionals.map(entrantOf);
  if (entrants.length === 0) throw new LatheError("INVALID_ARGUMENT", "no network is given: name them as NAME=FILE");
  const { dataset: kind, data } = values;
  const [height, width] = size(values.input);
  const threads = positive(values.threads, "--threads");
  const rounds = positive(values.rounds, "--rounds");
  const { spec } = resolve(readSpec({ preset: "medium", dataset: kind, ...(data !== undefined && { data }) }));
  const session = { provider: "cpu", threads } as const;
  const sides: Record<string, (runs: number) => Promise<number[]>> = {};
  const mious: number[] = [];
  const opened: (() => Promise<void>)[] = [];
  try {
    for (const { file } of entrants) {
      const bytes = readFileSync(file);
      const model = await openModel(bytes, session);
      opened.push(() => model.release());
      const told: FormFlags = {
        input: { height, width },
        ...(model.inputs[0]?.type === "float32" && { scale: 1 / 255 }),
      };
      const { form, scores } = await evaluateOn({
        model: bytes,
        told,
        session,
        dataset: spec.dataset,
        seed: spec.seed,
      });
      mious.push(scores.miou);
      sides[file] = timed(await model.prepare(form.input, imageFor(form, height, width)));
    }
    const series: Record<string, number[]> = {};
    const medians = await inTurns(sides, rounds, (file, ms) => (series[file] ??= []).push(...ms));
    const placed = entrants.map(({ name, file }, index) => ({
      ...{ name, file, miou: mious[index]!, ms: median(series[file] ?? []) },
    }));
    const title = `mIoU against latency of class maps, ${kind} at ${values.input}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    if (values.svg !== undefined) writeOut(values.svg, svgOf(frontPlot(placed, title)));
    const notes = { data: data ?? kind, rounds };
    return [
      { title, unit: "ms", series, ratios: ratiosOf(medians, placed), notes, table: networks(placed) },
      { title: "by name", unit: "ms", series: {}, notes: {}, table: names(placed) },
    ];
  } finally {
    for (const close of opened) await close();
  }
}

/** "NAME=FILE" of an argument. */
export function entrantOf(argument: string): Entrant {
  const [, name, file] = /^([^=]+)=(.+)$/.exec(argument) ?? [];
  if (name !== undefined && file !== undefined) return { name, file };
  throw new LatheError(
    "INVALID_ARGUMENT",
    `"${argument}" names no network: write NAME=FILE, as ssr=runs/one/deploy.onnx`,
  );
}

/** Random pixels: the time does not depend on them. */
function imageFor({ type, layout }: ModelForm, height: number, width: number) {
  const random = createRandom(1, "bench front");
  const length = 3 * height * width;
  const dims = layout === "nchw" ? [1, 3, height, width] : [1, height, width, 3];
  if (type === "float32") return { dims, data: Float32Array.from({ length }, () => random.next()) };
  return { dims, data: Uint8Array.from({ length }, () => 256 * random.next()) };
}
