import type { SeriesOption } from "echarts";
import { bottom, frame, left } from "../../cli/plot/axes";
import { colourOf, LINE, type Plot } from "../../cli/plot/svg";
import { above, type Placed } from "./tables";

const FRONT = "Pareto front";

/** mIoU against latency: a colour for each name, a point for each network, and steps that join those on the front. */
export function frontPlot(placed: readonly Placed[], title: string): Plot {
  const value = ({ ms, miou }: Placed) => [ms, 100 * miou];
  const by = above(placed);
  const onFront = placed.filter((_, index) => by[index] === undefined).sort((one, other) => one.ms - other.ms);
  const names = [...new Set(placed.map(({ name }) => name))];
  const points = names.map((name, index): SeriesOption => {
    const data = placed.filter((one) => one.name === name).map(value);
    return { name, type: "scatter", symbolSize: 11, itemStyle: { color: colourOf(index), opacity: 0.9 }, z: 3, data };
  });
  const steps: SeriesOption = {
    ...{ name: FRONT, type: "line", step: "end", symbol: "none", z: 2, data: onFront.map(value) },
    ...{ itemStyle: { color: LINE }, lineStyle: { color: LINE, width: 1.2 } },
  };
  return {
    name: "front",
    title,
    option: {
      ...frame([...names, FRONT]),
      xAxis: bottom("median latency (ms)", { zero: true }),
      yAxis: left("validation mIoU (%)"),
      series: [...points, steps],
    },
  };
}
