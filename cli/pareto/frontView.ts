import type { ParetoConditions, ParetoFront, ParetoPoint } from "../../shared/proto/lathe/v1/pareto";
import { datasetName } from "../spec/datasetNames";
import { milliseconds, percent, quantity } from "../view/format";
import { scatter } from "./scatter";

export const HEADS = ["", "search", "name", "mIoU", "latency", "p50", "p95", "FPS", "MACs", "params", "dominated by"];

/** The letter of a point, by its place in the table: a capital on the front. Points after the 26th have a symbol. */
function markOf({ dominatedBy }: ParetoPoint, index: number): string {
  if (index >= 26) return dominatedBy ? "." : "*";
  return String.fromCharCode((dominatedBy ? 97 : 65) + index);
}

/** A row for each point, with a cell for each of HEADS. */
export function rowsOf({ points }: ParetoFront): string[][] {
  const shown = new Map(points.map((point, index) => [point.searchId, `${markOf(point, index)} ${titleOf(point)}`]));
  return points.map((point, index) => {
    const { searchId, name, miou, p50Seconds, p95Seconds, framesPerSecond, figures, dominatedBy } = point;
    const sizes = [figures?.macs, figures?.params].map((size) => (size ? quantity(size) : "–"));
    const by = shown.get(dominatedBy) ?? dominatedBy;
    const compared = `${milliseconds(point.comparedSeconds)}${isUnstable(point) ? " unstable" : ""}`;
    const measured = [
      percent(miou),
      compared,
      milliseconds(p50Seconds),
      milliseconds(p95Seconds),
      framesPerSecond.toFixed(1),
    ];
    return [markOf(point, index), searchId, name, ...measured, ...sizes, by];
  });
}

/** The title of a point: the name of its search, else its id. */
export const titleOf = ({ name, searchId }: ParetoPoint): string => name || searchId;

export const isUnstable = ({ unstableBecause }: ParetoPoint): boolean => unstableBecause.length > 0;

/** What the latencies of a front are, for an axis. */
export function comparedName({ points }: Pick<ParetoFront, "points">): string {
  const calibrated = points.filter(({ calibrated: is }) => is).length;
  if (calibrated === 0) return "p50";
  return calibrated === points.length ? "calibrated p50" : "p50, calibrated where it can be";
}

/** What a front compares: which medians, and what an unstable one may not do. */
function comparedLine(front: ParetoFront): string {
  const { points, calibrationReferenceSeconds: reference } = front;
  const marks = points.flatMap((point, index) => (point.calibrated ? [] : [markOf(point, index)]));
  const at = `at ${milliseconds(reference)} of the calibration network`;
  const which =
    marks.length === points.length
      ? "p50 as measured: no latency is calibrated"
      : `calibrated p50, ${at}${marks.length > 0 ? `; p50 as measured of ${marks.join(", ")}, which are not calibrated` : ""}`;
  return points.some(isUnstable) ? `${which}; an unstable latency dominates no stable one` : which;
}

/** On what data and how the points of a front were measured and are compared: a line on the mIoU, the latency and the comparison. */
export function conditionLines(front: ParetoFront): [miou: string, latency: string, compared: string] {
  const conditions: ParetoConditions = front.conditions!;
  const { datasetSha256, datasetKind, datasetPath, retrained, miouClasses } = conditions;
  const { device, deviceClass, runtime, precision, batchSize, inputHeight, inputWidth, threads } = conditions;
  const { deviceKey } = conditions;
  const key = deviceKey ? `, key ${deviceKey.slice(0, 12)}` : "";
  const data = [datasetKind ? datasetName(datasetKind) : "unknown data", ...(datasetPath ? [datasetPath] : [])].join(
    " ",
  );
  const print = datasetSha256 ? `fingerprint ${datasetSha256}` : "no fingerprint recorded";
  const over = miouClasses > 0 ? ` over ${miouClasses} ${miouClasses === 1 ? "class" : "classes"}` : "";
  return [
    `validation split of ${data} (${print}), networks ${retrained ? "as retrained" : "before retraining"}${over}`,
    `${device} (${deviceClass}${key}), ${runtime}, ${precision}, batch ${batchSize}, ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}`,
    comparedLine(front),
  ];
}

/** A line for each reason not to trust a latency, with the letter of its point. */
const unstableLines = ({ points }: ParetoFront): string[] =>
  points.flatMap((point, index) => point.unstableBecause.map((why) => `${markOf(point, index)} unstable: ${why}`));

/** A front as text: how it was measured, a table, and a plot where there is more than one point. */
export function frontLines(front: ParetoFront): string[] {
  const [miou, latency, compared] = conditionLines(front);
  const lines = [HEADS.map((head) => head.toUpperCase()), ...rowsOf(front)];
  const widths = HEADS.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const table = lines.map((line) =>
    `  ${line.map((text, column) => text.padEnd(widths[column]!)).join("  ")}`.trimEnd(),
  );
  const unstable = unstableLines(front).map((line) => `  ${line}`);
  const plot = front.points.length > 1 ? ["", ...plotLines(front).map((line) => `  ${line}`)] : [];
  return [
    `mIoU     ${miou}`,
    `latency  ${latency}`,
    `         ${compared}`,
    "",
    ...table,
    ...(unstable.length > 0 ? ["", ...unstable] : []),
    ...plot,
  ];
}

function plotLines({ points }: ParetoFront): string[] {
  const marks = points.map((point, index) => ({
    x: point.comparedSeconds,
    y: point.miou,
    mark: markOf(point, index),
    point,
  }));
  // The front is drawn last, so that no dominated point hides it.
  marks.sort((a, b) => Number(a.point.dominatedBy === "") - Number(b.point.dominatedBy === ""));
  return scatter(marks, { columns: 64, rows: 14, x: (value) => `latency ${milliseconds(value)}`, y: percent });
}
