import type { Removal } from "../../shared/proto/lathe/v1/result";
import type { PhaseName } from "../../shared/spec/phases";
import { alarmTime, dimensionNames, duration, percent, removalReasons } from "./format";
import { secondsLeft, type Phase, type SearchView } from "./searchView";

const labels: Record<PhaseName, string> = {
  operators: "measure operators",
  search: "search",
  derive: "derive network",
  retrain: "retrain",
  profile: "measure network",
};
const marks = { waiting: " ", running: ">", done: "x", failed: "!" } as const;

/** "[#####.....]". */
function bar(share: number, cells: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
  return `[${"#".repeat(full)}${".".repeat(cells - full)}]`;
}

/** Shortens a line to the width of the terminal. Lines must not wrap, because a redraw counts rows. */
function truncate(line: string, width: number): string {
  if (line.length <= width) return line;
  return width <= 3 ? line.slice(0, Math.max(0, width)) : `${line.slice(0, width - 3)}...`;
}

function phaseLine(phase: Phase, cells: number): string {
  const { name, status, epoch, epochs, step, steps, epochSeconds } = phase;
  const head = `  [${marks[status]}] ${labels[name].padEnd(17)}`;
  if (status === "running" && epochs === 0 && steps > 0) {
    const what = name === "derive" ? "networks compared" : "measured";
    return `${head} ${bar(step / steps, cells)} ${step}/${steps} ${what}`;
  }
  if (epochs === 0 || (status === "waiting" && epoch === 0)) return head.trimEnd();
  const share = (epoch + (steps > 0 ? step / steps : 0)) / epochs;
  const parts = [`${head} ${bar(share, cells)} epoch ${epoch}/${epochs}`];
  if (status === "running") {
    if (steps > 0 && epoch < epochs) parts.push(`step ${step}/${steps}`);
    const left = secondsLeft(phase);
    if (left !== undefined && left > 0) parts.push(`${duration(left)} left`);
    // Last, because a narrow terminal cuts it off.
    const last = epochSeconds.at(-1);
    if (last !== undefined) parts.push(`${last.toFixed(last < 1 ? 2 : 1)} s/epoch`);
  }
  return parts.join("  ");
}

function resultLines(view: SearchView): string[] {
  const { epoch, stepLoss, evaluated, supernetMiou, discreteMiou, retrainedMiou, retrainingLoss } = view;
  const lines: string[] = [];
  if (epoch) {
    lines.push(
      `  loss           weights ${epoch.weightLoss.toFixed(3)}   architecture ${epoch.alphaLoss.toFixed(3)}` +
        (retrainingLoss === undefined ? "" : `   retraining ${retrainingLoss.toFixed(3)}`),
      `  cost           ${percent(epoch.expectedCostRatio)} of the largest network (target ${percent(view.costTarget)})`,
      `  SSR            factor ${epoch.ssrFactor.toFixed(1)}`,
    );
  } else if (stepLoss !== undefined) lines.push(`  loss           ${stepLoss.toFixed(3)}`);
  if (evaluated)
    lines.push(
      `  networks       ${evaluated.networks} of ${evaluated.of} evaluated, the best ${percent(evaluated.bestMiou)}`,
    );
  const mious = [
    ["supernet", supernetMiou ?? epoch?.validationMiou],
    ["discrete", discreteMiou],
    ["retrained", retrainedMiou],
  ].flatMap(([name, value]) => (typeof value === "number" ? [`${name} ${percent(value)}`] : []));
  if (mious.length > 0) lines.push(`  mIoU           ${mious.join("   ")}`);
  return lines;
}

function spaceLines({ candidates, log10Now, log10Start, lastRemovals }: SearchView, maxRemovals: number): string[] {
  if (candidates.length === 0) return [];
  const lines = [
    `  space          10^${log10Now.toFixed(1)} of 10^${log10Start.toFixed(1)} networks`,
    "  candidates left",
    ...candidates.map(({ dimension, now, start, undecided }) => {
      const name = (dimensionNames[dimension] ?? "").padEnd(12);
      const count = `${now}/${start}`.padStart(11);
      return `    ${name} ${count}  ${bar(start === 0 ? 0 : now / start, 20)}  ${undecided > 0 ? `${undecided} groups open` : "decided"}`;
    }),
  ];
  if (lastRemovals && lastRemovals.removals.length > 0) {
    const { epoch, removals } = lastRemovals;
    lines.push(`  removed after epoch ${epoch}: ${removals.length}`);
    lines.push(...removals.slice(0, maxRemovals).map(removalLine));
    if (removals.length > maxRemovals) lines.push(`    and ${removals.length - maxRemovals} more`);
  }
  return lines;
}

function removalLine({ group, value, probability, maxProbability, reason }: Removal): string {
  const why = removalReasons[reason] ?? "";
  return `    ${group} ${value}  p ${probability.toFixed(3)}, best ${maxProbability.toFixed(3)}  ${why}`.trimEnd();
}

interface Frame {
  columns: number;
  rows: number;
  /** Current time in milliseconds since the epoch. */
  now: number;
  /** A status line, such as a restart or a lost connection. */
  note?: string | undefined;
}

/** The view of a search as lines that fit the terminal. Pure. */
export function render(view: SearchView, { columns, rows, now, note }: Frame): string[] {
  const { searchId, title, state, startedAt, phases, lastAlarm, waiting, reason } = view;
  const elapsed = startedAt === undefined ? "" : `  ${duration(Math.max(0, now - startedAt) / 1000)}`;
  const cells = Math.max(8, Math.min(24, columns - 84));
  const lines = [
    `Lathe ${searchId}  ${title}  ${state}${elapsed}`.replace(/ {3,}/g, "  "),
    ...phases.map((phase) => phaseLine(phase, cells)),
    ...resultLines(view),
    ...spaceLines(view, 4),
    ...(lastAlarm === undefined
      ? []
      : [`  alarm          ${lastAlarm.name} ${alarmTime(lastAlarm.epoch)}: ${lastAlarm.message}`]),
    ...(waiting === undefined ? [] : [`  waiting        ${waiting}`]),
    ...(reason === undefined ? [] : [`  reason         ${reason}`]),
    ...(note === undefined ? [] : [`  note           ${note}`]),
  ];
  // The cursor is in the row below the last line.
  return lines.slice(0, Math.max(1, rows - 1)).map((line) => truncate(line.replace(/[\r\n\t]+/g, " "), columns));
}
