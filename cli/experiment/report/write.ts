import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { frontsOf } from "../../../shared/comparison/fronts";
import type { ParetoFront } from "../../../shared/proto/lathe/v1/pareto";
import { paretoPlot } from "../../plot/pareto";
import { manifestOf, readCandidates, readCells, strangers, type CellRecord } from "./cells";
import { plotsOf } from "./plots";
import { svgOf, type Plot } from "../../plot/svg";
import { summarize, type Group } from "./summary";
import { cellTable, csv, frontTables, summaryTable } from "./tables";

/** Writes report.md, report.csv and the plots of an experiment to a target folder, from the files of its cells. */
export function writeReport(folder: string, target: string): { content: Record<string, unknown>; files: string[] } {
  const { name } = manifestOf(folder);
  const cells = readCells(folder);
  const groups = summarize(cells);
  const fronts = frontsOf(readCandidates(folder)).filter(({ points }) => points.length > 1);
  const plots = [
    ...plotsOf(groups),
    ...fronts.map((front, index) => paretoPlot(front, index === 0 ? "miou-latency" : `miou-latency-${index + 1}`)),
  ];
  const files = [
    ["report.md", reportText(name, cells, groups, fronts, plots, strangers(folder))],
    ["report.csv", csv(cells)],
    ...plots.map((plot) => [`${plot.name}.svg`, svgOf(plot)]),
  ] as [file: string, text: string][];
  mkdirSync(target, { recursive: true });
  for (const [file, text] of files) writeFileSync(join(target, file), text);
  const written = files.map(([file]) => file);
  return {
    content: { experiment: name, folder: target, files: written, cells: cells.map(row), groups: groups.map(groupRow) },
    files: written,
  };
}

const row = ({ epochs: _, ...cell }: CellRecord) => cell;
const groupRow = ({ cells, kind: _, ...group }: Group) => ({ ...group, cells: cells.map(({ name }) => name) });

/** The text of report.md. */
function reportText(
  name: string,
  cells: readonly CellRecord[],
  groups: readonly Group[],
  fronts: readonly ParetoFront[],
  plots: readonly Plot[],
  others: readonly string[],
): string {
  const inState = (state: CellRecord["state"]) => cells.filter((cell) => cell.state === state);
  const [failed, missing] = [inState("failed"), inState("missing")];
  const search = ["convergedEpoch", "candidatesLeft", "trainingImages"] as const;
  const seconds = ["searchSeconds", "retrainingSeconds", "totalSeconds"] as const;
  const sections = [
    `# ${name}`,
    `${inState("finished").length} of ${cells.length} cells have a result, ${failed.length} failed, ${missing.length} are missing.`,
    "Mean ± sample standard deviation (n - 1) over the finished cells of a row; a single cell has no deviation. All mIoUs are measured on the validation split; the retrained mIoU is that of the best epoch, chosen on the same split. A dash means that there is no such result.",
    "## Quality",
    summaryTable(groups, ["supernetMiou", "discreteMiou", "gap", "retrainedMiou"]),
    "## Networks",
    summaryTable(groups, ["params", "macs", "costRatio", "costMiss", "latencyMs"]),
    ...(fronts.length > 0 ? ["## mIoU against latency", ...frontTables(fronts)] : []),
    "## Cost of the search",
    summaryTable(groups, [...search, ...seconds]),
    ...(failed.length > 0
      ? ["## Failed", failed.map((cell) => `- ${cell.name}: ${cell.message ?? ""}`).join("\n")]
      : []),
    ...(missing.length > 0 ? ["## Missing", missing.map((cell) => `- ${cell.name}`).join("\n")] : []),
    ...(others.length > 0
      ? [`Folders with a result that are not cells of this grid and are not included: ${others.join(", ")}.`]
      : []),
    ...(plots.length > 0 ? ["## Plots", ...plots.map((plot) => `![${plot.title}](${plot.name}.svg)`)] : []),
    "## Cells",
    cellTable(cells),
  ];
  return `${sections.join("\n\n")}\n`;
}
