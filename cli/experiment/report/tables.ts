import type { ParetoFront } from "../../../shared/proto/lathe/v1/pareto";
import { conditionLines, HEADS, rowsOf } from "../../pareto/frontView";
import type { CellRecord, ResultName } from "./cells";
import type { Group, Spread } from "./summary";

interface Column {
  /** Its name in report.csv. */
  csv: string;
  head: string;
  unit: string;
  digits: number;
  /** The displayed unit in units of the result; 1 unless given. */
  per?: number;
}

/** The column of each result, in the order of the tables. */
const COLUMNS: Readonly<Record<ResultName, Column>> = {
  convergedEpoch: { csv: "converged_epoch", head: "converged", unit: "epoch", digits: 0 },
  candidatesLeft: { csv: "candidates_left", head: "left", unit: "", digits: 0 },
  supernetMiou: { csv: "supernet_miou_percent", head: "supernet mIoU", unit: "%", digits: 1 },
  discreteMiou: { csv: "discrete_miou_percent", head: "discrete mIoU", unit: "%", digits: 1 },
  retrainedMiou: { csv: "retrained_miou_percent", head: "retrained mIoU", unit: "%", digits: 1 },
  gap: { csv: "gap_points", head: "gap", unit: "points", digits: 2 },
  params: { csv: "params", head: "params", unit: "k", digits: 1, per: 1e3 },
  macs: { csv: "macs", head: "MACs", unit: "M", digits: 2, per: 1e6 },
  costRatio: { csv: "cost_ratio", head: "cost ratio", unit: "", digits: 3 },
  costMiss: { csv: "cost_miss_percent", head: "cost miss", unit: "%", digits: 1 },
  latencyMs: { csv: "latency_p50_ms", head: "p50", unit: "ms", digits: 2 },
  trainingImages: { csv: "training_images", head: "budget", unit: "k images", digits: 1, per: 1e3 },
  searchSeconds: { csv: "search_seconds", head: "search", unit: "s", digits: 1 },
  retrainingSeconds: { csv: "retraining_seconds", head: "retraining", unit: "s", digits: 1 },
  totalSeconds: { csv: "total_seconds", head: "total", unit: "s", digits: 1 },
};

const RESULTS = Object.keys(COLUMNS) as ResultName[];

const NONE = "–";

function shown(value: number, { digits, per = 1 }: Column): string {
  const text = (value / per).toFixed(digits);
  // Show -0.00 as 0.00, e.g. for a gap of -1e-17.
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** Mean ± standard deviation; with the number of cells if not every finished cell has the result. */
function spread(of: Spread | undefined, column: Column, finished: number): string {
  if (of === undefined) return NONE;
  const { mean, deviation, n } = of;
  // The mean of whole numbers needs a decimal.
  const fine = { ...column, digits: Math.max(column.digits, 1) };
  const text = deviation === undefined ? shown(mean, fine) : `${shown(mean, fine)} ± ${shown(deviation, fine)}`;
  return n === finished ? text : `${text} (${n} of ${finished})`;
}

const head = ({ head: name, unit }: Column): string => (unit === "" ? name : `${name} (${unit})`);

function markdown(heads: readonly string[], rows: readonly (readonly string[])[], texts = 1): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = heads.map((_, index) => (index < texts ? "---" : "--:"));
  return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

/** A row per group: number of finished cells, mean ± standard deviation of the named results, and the worst gap. */
export function summaryTable(groups: readonly Group[], names: readonly ResultName[]): string {
  const heads = names.flatMap((name) => [head(COLUMNS[name]), ...(name === "gap" ? ["worst gap"] : [])]);
  const rows = groups.map(({ label, cells, finished, results }) => [
    label,
    `${finished} of ${cells.length}`,
    ...names.flatMap((name) => [
      spread(results[name], COLUMNS[name], finished),
      ...(name === "gap" ? [results.gap ? shown(results.gap.max, COLUMNS.gap) : NONE] : []),
    ]),
  ]);
  return markdown(["", "n", ...heads], rows);
}

/** How each front was measured, and a row for each of its points. */
export function frontTables(fronts: readonly ParetoFront[]): string[] {
  return fronts.flatMap((front) => {
    const [miou, latency, compared] = conditionLines(front);
    return [`mIoU: ${miou}. Latency: ${latency}. Compared: ${compared}.`, markdown(HEADS, rowsOf(front), 3)];
  });
}

/** A row per cell with its state and every result. */
export function cellTable(cells: readonly CellRecord[]): string {
  const rows = cells.map((cell) => [
    cell.name,
    cell.state,
    ...RESULTS.map((name) => {
      const value = cell.results?.[name];
      return value === undefined ? NONE : shown(value, COLUMNS[name]);
    }),
  ]);
  return markdown(["cell", "state", ...RESULTS.map((name) => head(COLUMNS[name]))], rows, 2);
}

const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** A row per cell with every result in full precision; missing results are empty. */
export function csv(cells: readonly CellRecord[]): string {
  const columns = RESULTS.map((name) => COLUMNS[name].csv);
  const heads = ["cell", "algorithm", "variant", "target", "seed", "state", ...columns, "message"];
  const rows = cells.map((cell) => [
    ...[cell.name, cell.algorithm, cell.variant ?? "", String(cell.target), String(cell.seed), cell.state],
    ...RESULTS.map((name) => String(cell.results?.[name] ?? "")),
    cell.message ?? "",
  ]);
  return [heads, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}
