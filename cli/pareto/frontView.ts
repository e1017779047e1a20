import type { ParetoConditions, ParetoFront, ParetoPoint } from "../../shared/proto/lathe/v1/pareto";
import { datasetName } from "../spec/datasetNames";
import { milliseconds, percent, quantity } from "../view/format";
import { scatter } from "./scatter";

export const HEADS = ["", "search", "name", "mIoU", "p50", "p95", "FPS", "MACs", "params", "dominated by"];

/** The letter of a point, by its place in the table: a capital on the front. Points after the 26th have a symbol. */
function markOf({ dominatedBy }: ParetoPoint, index: number): string {
  if (index >= 26) return dominatedBy ? "." : "*";
  return String.fromCharCode((dominatedBy ? 97 : 65) + index);
}

/** A row for each point, with a cell for each of HEADS. */
export function rowsOf({ points }: ParetoFront): string[][] {
  const shown = new Map(points.map((point, index) => [point.searchId, `${markOf(point, index)} ${titleOf(point)}`]));
  return points.map((point, index) => {
    const { searchId, name, miou, p50Seconds, p95Seconds, framesPerSecond, figures, dominatedBy, unstableBecause } =
      point;
    const sizes = [figures?.macs, figures?.params].map((size) => (size ? quantity(size) : "–"));
    const by = shown.get(dominatedBy) ?? dominatedBy;
    const p50 = `${milliseconds(p50Seconds)}${unstableBecause.length > 0 ? " unstable" : ""}`;
    const measured = [percent(miou), p50, milliseconds(p95Seconds), framesPerSecond.toFixed(1)];
    return [markOf(point, index), searchId, name, ...measured, ...sizes, by];
  });
}

/** The title of a point: the name of its search, else its id. */
export const titleOf = ({ name, searchId }: ParetoPoint): string => name || searchId;

/** On what data and how the points of a front were measured: a line on the mIoU and one on the latency. */
export function conditionLines(conditions: ParetoConditions): [miou: string, latency: string] {
  const { datasetSha256, datasetKind, datasetPath, retrained, miouClasses } = conditions;
  const { device, deviceClass, runtime, precision, batchSize, inputHeight, inputWidth, threads } = conditions;
  const data = [datasetKind ? datasetName(datasetKind) : "unknown data", ...(datasetPath ? [datasetPath] : [])].join(
    " ",
  );
  const print = datasetSha256 ? `fingerprint ${datasetSha256}` : "no fingerprint recorded";
  const over = miouClasses > 0 ? ` over ${miouClasses} ${miouClasses === 1 ? "class" : "classes"}` : "";
  return [
    `validation split of ${data} (${print}), networks ${retrained ? "as retrained" : "before retraining"}${over}`,
    `${device} (${deviceClass}), ${runtime}, ${precision}, batch ${batchSize}, ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}`,
  ];
}

/** A line for each reason not to trust a latency, with the letter of its point. */
const unstableLines = ({ points }: ParetoFront): string[] =>
  points.flatMap((point, index) => point.unstableBecause.map((why) => `${markOf(point, index)} unstable: ${why}`));

/** A front as text: how it was measured, a table, and a plot where there is more than one point. */
export function frontLines(front: ParetoFront): string[] {
  const [miou, latency] = conditionLines(front.conditions!);
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
    "",
    ...table,
    ...(unstable.length > 0 ? ["", ...unstable] : []),
    ...plot,
  ];
}

function plotLines({ points }: ParetoFront): string[] {
  const marks = points.map((point, index) => ({
    x: point.p50Seconds,
    y: point.miou,
    mark: markOf(point, index),
    point,
  }));
  // The front is drawn last, so that no dominated point hides it.
  marks.sort((a, b) => Number(a.point.dominatedBy === "") - Number(b.point.dominatedBy === ""));
  return scatter(marks, { columns: 64, rows: 14, x: (value) => `p50 ${milliseconds(value)}`, y: percent });
}
