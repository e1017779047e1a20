import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { networkOnnxOf } from "../services/latency/blocks";
import { checkOf } from "../services/latency/check";
import { sparedRatio, summarise } from "../services/latency/figures";
import type { Measured } from "../services/latency/network";
import type { Operators } from "../services/latency/operators";
import { startProfiler } from "../services/latency/profiler";
import { MOST } from "../services/latency/repetition";
import { withTiming, type Fragment, type FragmentCalls } from "../services/latency/ratios";
import { defaultSettings } from "../services/latency/settings";
import { size, whole } from "../cli/commands/options";
import { createRandom } from "../shared/engine/random";
import type { LatencyFigures } from "../shared/proto/lathe/v1/result";
import type { CostTable, Genotype } from "../shared/proto/lathe/v1/space";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { genotypeCost } from "../shared/space/cost";
import { largestGenotype } from "../shared/space/genotype";
import { randomGenotype } from "../shared/space/sampling";
import { resolve } from "../shared/spec/resolve";
import { positive, type Measurement } from "./measurement";

/** Until a busy program runs. */
const BUSY_START_MS = 500;

/**
 * The latency service's measurements on this machine: the largest network of a space again and again, alone and beside a busy program; and a
 * table of operators against networks of the space. Arguments: --preset (default small), --input HxW, --threads, --repeats, --pause (seconds
 * between two repeats), --no-table, --pyramid-channels (of the head in the networks of the table; 0 is the search head), --random (networks drawn
 * uniformly, to compare with the table beside those that check it).
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
      "pyramid-channels": { type: "string", default: "0" },
      random: { type: "string", default: "0" },
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
  const operators = { space, pyramidChannels: whole(values["pyramid-channels"]) };
  const { table } = await profiler.operators(operators, settings, forgetful(), never);
  const seconds = (performance.now() - began) / 1000;
  const { networks = 0, meanError = NaN, rankCorrelation = NaN } = table.check ?? {};
  const drawn = await compared(whole(values.random), operators, table, (genotype) =>
    profiler.network(
      { ...subject, repeated: MOST.held, model: { genotype, pyramidChannels: operators.pyramidChannels } },
      settings,
      never,
    ),
  );
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
        ...drawn,
      },
    },
  ];
}

/**
 * How well a table predicts networks that are drawn uniformly from its space, each measured until two measurements agree. A second time tells
 * how far they agree themselves: no table can do better.
 */
async function compared(
  count: number,
  { space }: Operators,
  table: CostTable,
  measure: (genotype: Genotype) => Promise<Measured[]>,
): Promise<Record<string, string | number>> {
  if (count === 0) return {};
  const random = createRandom(1, "bench latency");
  const measured: { genotype: Genotype; time: number }[] = [];
  const again = new Map<Genotype, number>();
  for (let i = 0; i < count; i++) {
    const genotype = randomGenotype(space, random);
    const time = async () => {
      const [{ samples, conditions }] = (await measure(genotype)) as [Measured];
      return sparedRatio(samples, conditions);
    };
    measured.push({ genotype, time: await time() });
    again.set(genotype, await time());
  }
  const { meanError, rankCorrelation } = checkOf(measured, (genotype) => genotypeCost(genotype, table));
  const repeated = checkOf(measured, (genotype) => again.get(genotype) ?? NaN);
  const times = measured.map(({ time }) => time);
  return {
    "networks drawn uniformly": count,
    "their mean error": `${(100 * meanError).toFixed(1)} %`,
    "their rank correlation (Spearman)": rankCorrelation.toFixed(3),
    "mean difference of a second measurement of them": `${(100 * repeated.meanError).toFixed(1)} %`,
    "rank correlation of both measurements": repeated.rankCorrelation.toFixed(3),
    "slowest over fastest of them": (Math.max(...times) / Math.min(...times)).toFixed(2),
  };
}

/** A store that keeps the fragments of one table. */
function forgetful(): FragmentCalls {
  const fragments = new Map<string, Fragment>();
  return {
    known: (keys) => Promise.resolve(keys.map((key) => fragments.get(key))),
    keep: (key, timing) => {
      const fragment = withTiming(fragments.get(key), timing);
      fragments.set(key, fragment);
      return Promise.resolve(fragment);
    },
    progress: () => {},
  };
}

/** A program that keeps one core busy. */
async function startBusy(): Promise<ChildProcess> {
  const busy = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
  await pause(BUSY_START_MS);
  return busy;
}
