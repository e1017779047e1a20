import type { SeriesOption } from "echarts";
import type { ParetoFront, ParetoPoint } from "../../shared/proto/lathe/v1/pareto";
import { comparedName, isUnstable, titleOf } from "../pareto/frontView";
import { bottom, frame, label, left } from "./axes";
import { colourOf, LINE, type Plot } from "./svg";

const ON_FRONT = "on the front";
const UNSTABLE = "unstable";
const DOMINATED = "dominated";

/**
 * mIoU against median latency: the points of a front, joined by steps, those that they dominate, and unstable ones that nothing dominates,
 * which no step joins. `name` names the file.
 */
export function paretoPlot({ conditions, points }: ParetoFront, name: string): Plot {
  const data = (of: readonly ParetoPoint[]) =>
    of.map((point) => ({ name: titleOf(point), value: [1000 * point.comparedSeconds, 100 * point.miou] }));
  const onFront = points.filter((one) => !one.dominatedBy);
  const { inputHeight = 0, inputWidth = 0, threads = 0, device = "" } = conditions ?? {};
  const color = colourOf(0);
  const named = { label: { ...label, show: true, position: "right" as const, formatter: "{b}" } };
  const hidden = { labelLayout: { hideOverlap: true } };
  const all: SeriesOption[] = [
    {
      ...{ name: ON_FRONT, type: "line", step: "end", symbol: "circle", symbolSize: 10, z: 3, ...named, ...hidden },
      ...{ itemStyle: { color }, lineStyle: { color, width: 1.4 } },
      data: data(onFront.filter((one) => !isUnstable(one))),
    },
    {
      ...{ name: UNSTABLE, type: "scatter", symbol: "emptyCircle", symbolSize: 10, z: 3, ...named, ...hidden },
      ...{ itemStyle: { color }, data: data(onFront.filter(isUnstable)) },
    },
    {
      ...{ name: DOMINATED, type: "scatter", symbolSize: 8, itemStyle: { color: LINE, opacity: 0.8 }, z: 2 },
      data: data(points.filter((one) => one.dominatedBy)),
    },
  ];
  const series = all.filter(({ data: shown }) => (shown as unknown[]).length > 0);
  return {
    name,
    title: `mIoU against latency at ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}, ${device}`,
    option: {
      ...frame(series.map((one) => String(one.name))),
      xAxis: bottom(`${comparedName({ points })} (ms)`),
      yAxis: left(conditions?.retrained === false ? "mIoU before retraining (%)" : "retrained mIoU (%)"),
      series,
    },
  };
}
