import { arch, cpus, platform } from "node:os";
import { version } from "../shared/process/root";
import type { Measurement } from "./measurement";
import { step } from "./step";

type Benchmark = (args: readonly string[]) => Promise<Measurement>;

const BENCHMARKS: Record<string, Benchmark> = { step };

/** Median and spread of a series. */
function summary(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { n: sorted.length, min: at(0), p25: at(0.25), median: at(0.5), p75: at(0.75), max: at(1) };
}

async function main(): Promise<void> {
  const [name = "", ...args] = process.argv.slice(2);
  const benchmark = BENCHMARKS[name];
  if (!benchmark) {
    console.error(`no benchmark "${name}"; there are: ${Object.keys(BENCHMARKS).join(", ")}`);
    process.exitCode = 2;
    return;
  }
  const { title, unit, series, notes } = await benchmark(args.filter((arg) => arg !== "--json"));
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "?"}, ${platform()} ${arch()}, node ${process.version}`;
  const rows = Object.fromEntries(Object.entries(series).map(([key, values]) => [key, summary(values)]));
  if (args.includes("--json")) {
    console.log(JSON.stringify({ title, unit, machine, lathe: version(), notes, series: rows }));
    return;
  }
  console.log(`${title}\n${machine}, lathe ${version()}`);
  for (const [key, value] of Object.entries(notes)) console.log(`${key}: ${value}`);
  for (const [key, { n, min, p25, median, p75, max }] of Object.entries(rows)) {
    const text = [min, p25, median, p75, max].map((value) => value.toFixed(1)).join(" / ");
    console.log(`${key}: min / p25 / median / p75 / max of ${n}: ${text} ${unit}`);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
