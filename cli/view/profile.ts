import type { MemoryEstimate } from "../../services/supernet/training/memory";
import type { ProfileReport, StepReport } from "../../services/supernet/training/profile";
import { memorySize } from "../../shared/process/memory";
import { FAMILIES } from "../../shared/engine/family";
import type { NodeTimes } from "../../shared/engine/profile";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { framesPerSecond, milliseconds } from "./format";

/** Parts outside the network, which are listed last. */
const AROUND = ["choices", "loss", "parameters", "optimizer", "other"];

/** The latency of a model as text. */
export function latencyLines(model: string, latency: LatencyFigures): string[] {
  const { device, runtime, inputHeight, inputWidth, threads, runs, warmupRuns, outliers } = latency;
  const { p50Seconds, p50LowSeconds, p50HighSeconds, p90Seconds, p95Seconds, p99Seconds, meanSeconds } = latency;
  const { batchSize, calibrationSeconds, unstableBecause } = latency;
  const images = batchSize === 1 ? "one image" : `${batchSize} images`;
  return [
    `${model}: ${images} of ${inputHeight}x${inputWidth} on ${device} by ${runtime}, ${threads} thread${threads === 1 ? "" : "s"}`,
    `  latency p50 / p90 / p95 / p99  ${[p50Seconds, p90Seconds, p95Seconds, p99Seconds].map(milliseconds).join(" / ")}`,
    `  95 % interval of p50           ${milliseconds(p50LowSeconds)} to ${milliseconds(p50HighSeconds)}`,
    `  mean                           ${milliseconds(meanSeconds)}`,
    `  runs                           ${runs} after ${warmupRuns} of warm-up, ${outliers} outliers`,
    `  unit of the calibration        ${milliseconds(calibrationSeconds)}`,
    `  frames per second              ${framesPerSecond(latency)}`,
    ...unstableBecause.map((reason) => `  unstable: ${reason}`),
  ];
}

/** The profile of the steps as text. */
export function profileLines(preset: string, space: SearchSpace, report: ProfileReport): string[] {
  const { engine, formulation, threads, batchSize, runs, overheadSeconds, steps } = report;
  return [
    `steps of the whole supernet of ${preset}: batch ${batchSize}, ${space.inputHeight}x${space.inputWidth}, ${engine}, ${formulation}, ${threads} threads, medians of ${runs}`,
    `The profiler slows every node by a different amount; ${(overheadSeconds * 1e6).toFixed(1)} us per node are subtracted. Use these times to rank; only the time without profiler is the true total.`,
    ...steps.flatMap(stepLines),
  ];
}

function stepLines(step: StepReport): string[] {
  const nodes = step.times.reduce((sum, time) => sum + time.nodes, 0);
  const total = step.times.reduce((sum, time) => sum + time.seconds, 0);
  const rows = (of: (time: NodeTimes) => string, order: (names: string[]) => string[]) => {
    const names = order([...new Set(step.times.map(of))]);
    return names.map((name) => row(name, step.times.filter((time) => of(time) === name), total)); // prettier-ignore
  };
  return [
    "",
    `${step.step} step: ${ms(step.seconds)} ms without profiler (${ms(step.profiledSeconds)} ms with it, of which ${ms(total)} ms in its ${nodes} nodes)`,
    `  convolutions: ${(step.macs / 1e9).toFixed(2)} GMACs, at ${gflops(step.macs, step.seconds)} GFLOP/s over the whole step`,
    "",
    heading("by family"),
    ...rows(({ family }) => family, (names) => FAMILIES.filter((name) => names.includes(name))), // prettier-ignore
    "",
    heading("by part"),
    ...rows(({ part }) => part, (names) => [...names.filter((name) => !AROUND.includes(name)).sort(inOrder), ...AROUND.filter((name) => names.includes(name))]), // prettier-ignore
  ];
}

const ms = (seconds: number): string => (seconds * 1000).toFixed(1);
/** GFLOP/s: a MAC is one multiplication and one addition. */
const gflops = (macs: number, seconds: number): string => ((2 * macs) / seconds / 1e9).toFixed(0);

const heading = (name: string): string =>
  `  ${name.padEnd(30)}${"ms".padStart(9)}${"%".padStart(7)}${"nodes".padStart(8)}   most of it`;

function row(name: string, times: NodeTimes[], total: number): string {
  const seconds = times.reduce((sum, time) => sum + time.seconds, 0);
  const nodes = times.reduce((sum, time) => sum + time.nodes, 0);
  const share = total > 0 ? (100 * seconds) / total : 0;
  return `  ${name.padEnd(30)}${ms(seconds).padStart(9)}${share.toFixed(1).padStart(7)}${String(nodes).padStart(8)}   ${largest(times)}`;
}

/** The three operators with the largest share of a row. */
function largest(times: NodeTimes[]): string {
  const byOp = new Map<string, number>();
  for (const { op, seconds } of times) byOp.set(op, (byOp.get(op) ?? 0) + seconds);
  const sorted = [...byOp].sort(([, a], [, b]) => b - a).slice(0, 3);
  return sorted.map(([op, seconds]) => `${op} ${ms(seconds)}`).join(", ");
}

/** Parts in the order of the network: the stem, then stages with reduction, blocks by number, exits; the head. */
function inOrder(a: string, b: string): number {
  return rank(a).localeCompare(rank(b), "en", { numeric: true });
}

function rank(part: string): string {
  if (part === "stem") return "0";
  return part === "head" ? "2" : `1/${part.replace("reduction", "a").replace("block", "b").replace("exits", "c")}`;
}

/** The estimate in one line; `machine` is the memory of this machine in bytes. */
export function memoryLine({ bytes, steps }: MemoryEstimate, machine: number): string {
  const parts = steps.map((step) => `${step.name} ${memorySize(step.bytes)}`).join(", ");
  return `training the supernet needs about ${memorySize(bytes)} (${parts}); this machine has ${memorySize(machine)}`;
}

/** The estimate as a table with a row per step. */
export function memoryLines(preset: string, estimate: MemoryEstimate, machine: number): string[] {
  const row = (...cells: string[]) => `  ${(cells[0] ?? "").padEnd(12)}${cells.slice(1).map((cell) => cell.padStart(14)).join("")}`; // prettier-ignore
  return [
    `estimated memory of training the whole supernet of ${preset}, formulation ${estimate.formulation}`,
    row("", "activations", "constants", "inputs", "outputs", "together", "moves", "MACs"),
    ...estimate.steps.map(({ name, activations, constants, inputs, outputs, bytes, traffic, macs }) =>
      row(
        name,
        ...[activations, constants, inputs, outputs, bytes, traffic].map(memorySize),
        `${(macs / 1e9).toFixed(1)} G`,
      ),
    ),
    row("process", "", "", "", "", memorySize(estimate.processBytes)),
    row("all", "", "", "", "", memorySize(estimate.bytes)),
    `this machine has ${memorySize(machine)}; decoded images are not in the estimate`,
    "moves: what the operators of one run read and write; MACs: multiplications of its convolutions, with their gradients",
  ];
}
