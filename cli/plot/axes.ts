import type { EChartsOption, LegendComponentOption, XAXisComponentOption, YAXisComponentOption } from "echarts";

import { INK, LINE, RULE } from "./svg";

export const label = { color: INK, fontSize: 13 };
const ticks = {
  axisLabel: label,
  axisLine: { show: true, lineStyle: { color: LINE } },
  axisTick: { lineStyle: { color: LINE } },
  splitLine: { lineStyle: { color: RULE } },
};
const name = { nameLocation: "middle", nameTextStyle: { color: INK, fontSize: 14 } } as const;

const numeric = (of: string, nameGap: number, zero: boolean) =>
  ({ type: "value", name: of, nameGap, scale: !zero, ...name, ...ticks }) as const;

/** A numeric axis at the bottom; it starts at zero only with `zero`. */
export const bottom = (of: string, { zero = false } = {}): XAXisComponentOption => numeric(of, 32, zero);

export const left = (of: string, { zero = false } = {}): YAXisComponentOption => numeric(of, 48, zero);

/** Width of the plot area in pixels. */
const plotWidth = 900 - 76 - 196;

/** A category axis at the bottom with line breaks in long labels. */
export const categories = (words: string[]): XAXisComponentOption => ({
  type: "category",
  data: words,
  axisTick: { show: false },
  axisLine: { ...ticks.axisLine, onZero: false },
  axisLabel: { ...label, interval: 0, width: Math.max(40, plotWidth / words.length - 8), overflow: "break" },
});

const legend: LegendComponentOption = {
  orient: "vertical",
  right: 16,
  top: 56,
  itemGap: 10,
  itemWidth: 20,
  itemHeight: 11,
  textStyle: { ...label, width: 135, overflow: "break" },
};

/** The plot area, with a legend to its right. */
export const frame = (words: (string | { name: string; icon?: string })[]): Pick<EChartsOption, "grid" | "legend"> => ({
  grid: { left: 76, right: 196, top: 56, bottom: 76, containLabel: false },
  legend: { ...legend, data: words },
});
