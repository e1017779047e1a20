import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { networkOnnxOf } from "../services/latency/blocks";
import { summarise } from "../services/latency/figures";
import { startProfiler } from "../services/latency/profiler";
import { defaultSettings } from "../services/latency/settings";
import { size, whole } from "../cli/commands/options";
import type { LatencyFigures } from "../shared/proto/lathe/v1/result";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { largestGenotype } from "../shared/space/genotype";
import { resolve } from "../shared/spec/resolve";
import { positive, type Measurement } from "./measurement";

/** Until a busy program runs. */
const BUSY_START_MS = 500;

/**
 * The latency service's measurements on this machine: the largest network of a space again and again, alone and beside a busy program; and a
 * table of operators against networks of the space. Arguments: --preset (default small), --input HxW, --threads, --repeats, --pause (seconds
 * between two repeats), --no-table.
 */
export async function latency(args: readonly string[]): Promise<Measurement[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      preset: { type: "string", default: "small" },
      input: { type: "string", default: "96x128" },
      threads: { type: "string", default: "1" },
      repeats: { type: "string", default: "10" },
      pause: { type: "string", default: "0" },
      "no-table": { type: "boolean", default: false },
    },
  });
  const [inputHeight, inputWidth] = size(values.input);
  const dataset = values.preset === "tiny" ? undefined : { path: "none" };
  const { space: described } = resolve(SearchSpec.fromPartial({ preset: values.preset, ...(dataset && { dataset }) }));
  const space = { ...described, inputHeight, inputWidth };
  const settings = defaultSettings("cpu", positive(values.threads, "--threads"));
  const profiler = startProfiler();
  const never = new AbortController().signal;
  const subject = { model: networkOnnxOf(largestGenotype(space), 0), size: undefined, batchSizes: [1] };
  const title = `${values.preset}, ${values.input}, ${values.threads} threads`;

  // The lowest time of the calibration network in stable measurements, as the service keeps it.
  let reference: number | undefined;
  const measure = async (): Promise<LatencyFigures> => {
    const [measured] = await profiler.network(subject, settings, never);
    const figures = summarise(measured!.samples, measured!.conditions, reference);
    if (figures.stable) reference = Math.min(reference ?? Infinity, figures.calibrationSeconds);
    return figures;
  };
  const alone: LatencyFigures[] = [];
  const beside: LatencyFigures[] = [];
  for (let i = 0; i < positive(values.repeats, "--repeats"); i++) {
    if (i > 0) await pause(1000 * whole(values.pause));
    alone.push(await measure());
    const busy = await startBusy();
    beside.push(await measure().finally(() => busy.kill("SIGKILL")));
  }
  const repeated: Measurement = {
    title: `largest network of ${title}: ${alone.length} measurements alone, each followed by one beside a busy program`,
    unit: "ms",
    series: {
      "p50 alone": alone.map(({ p50Seconds }) => 1000 * p50Seconds),
      "calibrated p50 alone": alone.map(({ calibratedP50Seconds }) => 1000 * calibratedP50Seconds),
      "p50 beside": beside.map(({ p50Seconds }) => 1000 * p50Seconds),
      "calibrated p50 beside": beside.map(({ calibratedP50Seconds }) => 1000 * calibratedP50Seconds),
    },
    notes: {
      "stable alone": `${alone.filter(({ stable }) => stable).length} of ${alone.length}`,
      "stable beside": `${beside.filter(({ stable }) => stable).length} of ${beside.length}`,
      "share of time without a core, beside": beside.map(({ waitingShare }) => waitingShare.toFixed(2)).join(", "),
      "runs of a measurement": alone.map(({ runs }) => runs).join(", "),
      "reasons alone": [...new Set(alone.flatMap(({ unstableBecause }) => unstableBecause))].join("; ") || "none",
    },
  };
  if (values["no-table"]) return [repeated];
  const began = performance.now();
  const { table } = await profiler.operators({ space, pyramidChannels: 0 }, settings, never);
  const seconds = (performance.now() - began) / 1000;
  const { networks = 0, meanError = NaN, rankCorrelation = NaN } = table.check ?? {};
  return [
    repeated,
    {
      title: `table of the operators of ${title}, against networks of the space`,
      unit: "s",
      series: { "measuring the table": [seconds] },
      notes: {
        "networks that check the table": networks,
        "mean error": `${(100 * meanError).toFixed(1)} %`,
        "rank correlation (Spearman)": rankCorrelation.toFixed(3),
      },
    },
  ];
}

/** A program that keeps one core busy. */
async function startBusy(): Promise<ChildProcess> {
  const busy = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
  await pause(BUSY_START_MS);
  return busy;
}
