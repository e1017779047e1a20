import type { CustomSeriesRenderItem, SeriesOption } from "echarts";
import { bottom, categories, frame, left } from "../../plot/axes";
import type { ResultName } from "./cells";
import type { Group } from "./summary";
import { colourOf, type Plot } from "../../plot/svg";

/** The plots of an experiment, without those for which no cell has results. */
export function plotsOf(groups: readonly Group[]): Plot[] {
  const all = [gap(groups), accuracyAndCost(groups), course(groups), seconds(groups), costTarget(groups)];
  return all.filter((plot) => plot !== undefined);
}

const kindsOf = (groups: readonly Group[]): string[] => [...new Set(groups.map(({ kind }) => kind))];

/** Horizontal offset in pixels of one of n points, so that they do not overlap. */
const apart = (index: number, n: number): number => (n === 1 ? 0 : ((index + 0.5) / n - 0.5) * Math.min(36, 9 * n));

/** One point per cell above the label of its group. */
function strip(groups: readonly Group[], name: ResultName): SeriesOption {
  const kinds = kindsOf(groups);
  return {
    name: "one cell",
    type: "scatter",
    symbolSize: 9,
    itemStyle: { color: "#888", opacity: 0.85 },
    z: 3,
    data: groups.flatMap((group, at) => {
      const values = group.cells.flatMap(({ results }) => results?.[name] ?? []);
      return values.map((value, index) => ({
        value: [at, value],
        symbolOffset: [apart(index, values.length), 0] as [number, number],
        itemStyle: { color: colourOf(kinds.indexOf(group.kind)) },
      }));
    }),
  };
}

function gap(groups: readonly Group[]): Plot | undefined {
  const of = groups.filter(({ results }) => results.gap);
  if (of.length === 0) return undefined;
  const means = of.map(({ results }, at) => [at, results.gap!.mean]);
  const bar = { symbol: "rect", symbolSize: [44, 3], itemStyle: { color: "#222" }, z: 2 };
  return {
    name: "gap",
    title: "Discretization gap: mIoU lost when the network is derived from the supernet",
    option: {
      ...frame(["one cell", "mean"]),
      xAxis: categories(of.map(({ label }) => label)),
      yAxis: left("gap (points of mIoU)", { zero: true }),
      series: [strip(of, "gap"), { name: "mean", type: "scatter", ...bar, data: means }],
    },
  };
}

const symbols = ["circle", "triangle", "rect", "diamond", "pin"];

function accuracyAndCost(groups: readonly Group[]): Plot | undefined {
  const kinds = kindsOf(groups);
  const targets = [...new Set(groups.map(({ target }) => target))];
  const series = groups.flatMap(({ label, kind, target, cells }): SeriesOption[] => {
    const data = cells.flatMap(({ results: { macs, retrainedMiou } = {} }) =>
      macs === undefined || retrainedMiou === undefined ? [] : [[macs / 1e6, retrainedMiou]],
    );
    const symbol = symbols[targets.indexOf(target) % symbols.length]!;
    if (data.length === 0) return [];
    const itemStyle = { color: colourOf(kinds.indexOf(kind)), opacity: 0.85 };
    return [{ name: label, type: "scatter", symbol, symbolSize: 11, itemStyle, data }];
  });
  if (series.length === 0) return undefined;
  return {
    name: "miou-macs",
    title: "Retrained mIoU against MACs, a point per cell",
    option: {
      ...frame(series.map(({ name }) => String(name))),
      xAxis: bottom("MACs per image (M)"),
      yAxis: left("retrained mIoU (%)"),
      series,
    },
  };
}

/** Line styles distinguish targets; colours distinguish algorithms and variants. */
const dashes = ["solid", "dashed", "dotted"] as const;

function course(groups: readonly Group[]): Plot | undefined {
  const kinds = kindsOf(groups);
  const targets = [...new Set(groups.map(({ target }) => target))];
  const series = groups.flatMap(({ label, kind, target, cells }) =>
    cells
      .filter(({ epochs }) => epochs.length > 0)
      .map(({ epochs }): SeriesOption => {
        const color = colourOf(kinds.indexOf(kind));
        const type = dashes[targets.indexOf(target) % dashes.length]!;
        return {
          name: label,
          type: "line",
          // A single epoch needs a symbol, because a line of one point is invisible.
          symbol: epochs.length === 1 ? "circle" : "none",
          itemStyle: { color },
          lineStyle: { color, width: 1.6, type, opacity: 0.85 },
          data: epochs.map(({ epoch, miou }) => [epoch, miou]),
        };
      }),
  );
  if (series.length === 0) return undefined;
  return {
    name: "epochs",
    title: "mIoU of the supernet after each epoch of the search, a line per cell",
    option: {
      ...frame([...new Set(series.map(({ name }) => String(name)))]),
      xAxis: { ...bottom("epoch"), minInterval: 1 },
      yAxis: left("validation mIoU (%)", { zero: true }),
      series,
    },
  };
}

function seconds(groups: readonly Group[]): Plot | undefined {
  const of = groups.filter(({ results }) => results.totalSeconds);
  if (of.length === 0) return undefined;
  const bar = (name: string, key: ResultName, color: string): SeriesOption => ({
    name,
    type: "bar",
    stack: "seconds",
    barMaxWidth: 56,
    itemStyle: { color },
    data: of.map(({ results }) => results[key]?.mean ?? 0),
  });
  const points = strip(of, "totalSeconds");
  return {
    name: "seconds",
    title: "Cost of a cell in seconds: means of search and retraining, totals of the cells",
    option: {
      ...frame(["search (mean)", "retraining (mean)", "total of one cell"]),
      xAxis: categories(of.map(({ label }) => label)),
      yAxis: left("seconds", { zero: true }),
      series: [
        bar("search (mean)", "searchSeconds", "#9ecae1"),
        bar("retraining (mean)", "retrainingSeconds", "#fdd0a2"),
        { ...points, name: "total of one cell" },
      ],
    },
  };
}

/** Relative deviation from the target that still counts as met. */
const TOLERANCE = 0.1;

function costTarget(groups: readonly Group[]): Plot | undefined {
  const kinds = kindsOf(groups);
  const series = kinds.flatMap((kind, index): SeriesOption[] => {
    const symbolOffset: [number, number] = [apart(index, kinds.length), 0];
    const data = groups
      .filter((group) => group.kind === kind)
      .flatMap(({ cells }) =>
        cells.flatMap(({ target, results }) =>
          results?.costRatio ? [{ value: [target, results.costRatio], symbolOffset }] : [],
        ),
      );
    if (data.length === 0) return [];
    return [
      { name: kind, type: "scatter", symbolSize: 10, itemStyle: { color: colourOf(index), opacity: 0.8 }, z: 3, data },
    ];
  });
  if (series.length === 0) return undefined;
  const band: CustomSeriesRenderItem = (_, api) => ({
    type: "polygon",
    shape: {
      points: [
        [0, 0],
        [1, 1 - TOLERANCE],
        [1, 1],
        [1 / (1 + TOLERANCE), 1],
      ].map((point) => api.coord(point)),
    },
    style: { fill: "#bbb", opacity: 0.35 },
  });
  const axis = { min: 0, max: 1 };
  const lineStyle = { color: "#888", width: 1.2, type: "dashed" as const };
  const diagonal = [0, 1].map((share) => [share, share]);
  return {
    name: "cost-target",
    title: "Cost of the found network against its target, as shares of the largest network",
    option: {
      ...frame([...series.map(({ name }) => String(name)), "target", { name: "within 10 %", icon: "rect" }]),
      xAxis: { ...bottom("target", { zero: true }), ...axis },
      yAxis: { ...left("cost of the network", { zero: true }), ...axis },
      series: [
        { name: "within 10 %", type: "custom", renderItem: band, data: [0], itemStyle: { color: "#ddd" }, z: 1 },
        { name: "target", type: "line", symbol: "none", itemStyle: { color: "#888" }, lineStyle, z: 2, data: diagonal },
        ...series,
      ],
    },
  };
}
