import { DecidedBy, type SearchResult } from "../../shared/proto/lathe/v1/result";
import { memorySize } from "../../shared/process/memory";
import { duration, framesPerSecond, milliseconds, overClasses, quantity } from "../view/format";

/** One measurement of a result: its key in result.json, its text, and how it was measured. */
interface Measurement {
  key: keyof SearchResult;
  label: string;
  value: unknown;
  shown: string;
  measuredBy: string;
}

const points = (share: number): string => `${(100 * share).toFixed(2)} points`;

const decidedBy: Readonly<Record<number, string>> = {
  [DecidedBy.DECIDED_BY_SHRINKING]: "shrinking",
  [DecidedBy.DECIDED_BY_ARGMAX]: "argmax at the end of the epochs",
  [DecidedBy.DECIDED_BY_SELECTION]: "selection among the networks evaluated",
};

/** Measurements of searches only; the training of a given network has none of them. */
const searched: ReadonlySet<keyof SearchResult> = new Set([
  "log10SpaceStart",
  "candidatesStart",
  "candidatesLeft",
  "decidedBy",
  "convergedEpoch",
  "supernetMiou",
  "discreteMiou",
  "discreteMiouClasses",
  "discretizationGap",
  "searchSeconds",
  "trainingImages",
] as const);

/** Measurements of a search within a supernet only. Searches that evaluate whole networks remove no candidates and derive nothing. */
const withinSupernet: ReadonlySet<keyof SearchResult> = new Set([
  "candidatesLeft",
  "convergedEpoch",
  "supernetMiou",
  "discretizationGap",
] as const);

/** The measurements of a result, in the order of the search. */
export function measurementsOf(result: SearchResult): Measurement[] {
  const measurements: Measurement[] = [];
  const add = (key: keyof SearchResult, label: string, shown: string, measuredBy: string) =>
    measurements.push({ key, label, value: result[key], shown, measuredBy });
  const { candidatesStart, candidatesLeft, supernetMiou, discreteMiouClasses, discretizationGap } = result;
  const selected = result.decidedBy === DecidedBy.DECIDED_BY_SELECTION;
  const space = `10^${result.log10SpaceStart.toFixed(1)} networks`;
  add("log10SpaceStart", "space at the start", space, "counted: the choices of the space of the spec, as log10");
  add("candidatesStart", "candidates at the start", String(candidatesStart), "counted: over all decision groups");
  const survivors = "counted: survivors over the live groups when the search ended";
  add("candidatesLeft", "candidates left", String(candidatesLeft), survivors);
  add(
    "decidedBy",
    "decided by",
    (decidedBy[result.decidedBy] ?? "unknown") +
      (result.convergedEpoch > 0 ? `, after epoch ${result.convergedEpoch}` : ""),
    selected
      ? "selection: the largest validation mIoU"
      : "shrinking: every live group had one survivor; argmax: the epochs ended first",
  );
  if (selected)
    add(
      "candidatesEvaluated",
      "networks evaluated",
      `${result.candidatesEvaluated}; no supernet was cut, so there is no discretization gap`,
      "counted",
    );
  add("convergedEpoch", "", "", "first epoch after which every live group had one survivor; 0 when argmax decided");
  add(
    "supernetMiou",
    "supernet mIoU",
    overClasses(supernetMiou, discreteMiouClasses),
    "validation split, supernet with its last weights",
  );
  add(
    "discreteMiou",
    selected ? "mIoU in the search" : "discrete mIoU",
    overClasses(result.discreteMiou, discreteMiouClasses),
    selected
      ? "validation split, head of the search: trained within the search (random), or with inherited weights and recalibrated statistics (evolution); the network was chosen on the same split"
      : "validation split, discrete network with the weights inherited from the supernet",
  );
  add("discreteMiouClasses", "", "", "counted: the classes of the labels at the positions that both networks compare");
  const repairs = result.target?.repairs.length ?? 0;
  const difference = `supernetMiou - discreteMiou, as shares of 1${repairs > 0 ? ", before the repairs" : ""}`;
  add("discretizationGap", "discretization gap", points(discretizationGap), difference);
  if (result.retrainedBestEpoch > 0 || result.retrainingSeconds > 0) {
    add(
      "retrainedMiou",
      "retrained mIoU",
      overClasses(result.retrainedMiou, result.retrainedMiouClasses),
      "validation split, retrained network with the aggregation head, at its best epoch; the epoch was chosen on the same split",
    );
    add("retrainedMiouClasses", "", "", "counted: the classes of the labels of the validation split");
    add("retrainedBestEpoch", "", "", "the retraining epoch of the largest validation mIoU");
  }
  if (result.figures) {
    add(
      "figures",
      "parameters",
      quantity(result.figures.params),
      "counted: convolution weights, biases, gammas and betas of the network of network.onnx; MACs: its convolutions, per image",
    );
    measurements.push({ ...measurements.at(-1)!, label: "MACs", shown: quantity(result.figures.macs) });
  }
  if (result.latency) {
    const { device, runtime, precision, batchSize, inputHeight, inputWidth, threads, runs } = result.latency;
    const how = `measured: ${runs} runs of network.onnx on ${device} by ${runtime}, ${precision}, batch ${batchSize}, ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}`;
    const { p50Seconds, p95Seconds, unstableBecause } = result.latency;
    add("latency", "latency p50 / p95", `${milliseconds(p50Seconds)} / ${milliseconds(p95Seconds)}`, how);
    const shown = framesPerSecond(result.latency);
    measurements.push({ ...measurements.at(-1)!, label: "frames per second", shown });
    for (const reason of unstableBecause)
      measurements.push({ ...measurements.at(-1)!, label: "latency unstable", shown: reason });
  }
  if (result.target) {
    const { targetSeconds, predictedSeconds, derivedSeconds, measuredSeconds, repairs, chosenRepair } = result.target;
    const how = "the spec; the table of operators; medians of the networks measured with the head of the result";
    const shown = [targetSeconds, predictedSeconds, derivedSeconds, measuredSeconds].map(milliseconds).join(" / ");
    add("target", "target / predicted / derived / measured", shown, how);
    for (const { number, changes } of repairs)
      measurements.push({ ...measurements.at(-1)!, label: `repair ${number}`, shown: changes.join(", ") });
    if (chosenRepair !== (repairs.at(-1)?.number ?? 0)) {
      const chosen = chosenRepair === 0 ? "the derived network" : `the network of repair ${chosenRepair}`;
      measurements.push({ ...measurements.at(-1)!, label: "nearest to the target", shown: chosen });
    }
  }
  for (const { searchId, target } of result.branches) {
    add("branches", `search for ${target}`, searchId, "searches for the other latencies, from the same supernet");
  }
  // Both are unknown in a search that was cancelled before its end.
  if (result.searchSeconds > 0)
    add(
      "searchSeconds",
      "search",
      duration(result.searchSeconds),
      selected
        ? "measured: wall clock of training and evaluation within the search"
        : "measured: wall clock of the supernet's training",
    );
  if (result.trainingImages > 0)
    add(
      "trainingImages",
      "search budget",
      `${quantity(Math.round(result.trainingImages))} training images`,
      "counted: images forward and backward in the search; an image that went only forward and decided something counts a third",
    );
  if (result.peakMemoryBytes > 0)
    add(
      "peakMemoryBytes",
      "peak memory",
      memorySize(result.peakMemoryBytes),
      "measured: largest resident memory of the process that trained the supernet",
    );
  if (result.dataChange)
    add(
      "dataChange",
      "data",
      "changed during the search",
      "compared: fingerprints of what the work of the search read",
    );
  add("retrainingSeconds", "retraining", duration(result.retrainingSeconds), "measured: wall clock of retraining");
  // Without candidates there was no search.
  if (candidatesStart === 0) return measurements.filter(({ key }) => !searched.has(key));
  return selected ? measurements.filter(({ key }) => !withinSupernet.has(key)) : measurements;
}

/** How each result was measured, by its key in result.json. */
export function measuredBy(result: SearchResult): Record<string, string> {
  const classScores = "validation split, intersection over union per class of the network of network.onnx";
  return {
    ...Object.fromEntries(measurementsOf(result).map(({ key, measuredBy }) => [key, measuredBy])),
    ...(result.classScores.length > 0 && { classScores }),
  };
}

/** The measurements as an aligned table. */
export function resultTable(result: SearchResult): string[] {
  const shown = measurementsOf(result).filter(({ label }) => label !== "");
  const width = Math.max(...shown.map(({ label }) => label.length));
  return shown.map((measurement) => `  ${measurement.label.padEnd(width)}  ${measurement.shown}`);
}
