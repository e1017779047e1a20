import type { SeriesOption } from "echarts";
import type { ParetoFront, ParetoPoint } from "../../shared/proto/lathe/v1/pareto";
import { titleOf } from "../pareto/frontView";
import { bottom, frame, label, left } from "./axes";
import { colourOf, LINE, type Plot } from "./svg";

const ON_FRONT = "on the front";
const DOMINATED = "dominated";

/** mIoU against median latency: the points of a front, joined by steps, and those that they dominate. `name` names the file. */
export function paretoPlot({ conditions, points }: ParetoFront, name: string): Plot {
  const data = (of: readonly ParetoPoint[]) =>
    of.map((point) => ({ name: titleOf(point), value: [1000 * point.p50Seconds, 100 * point.miou] }));
  const [front, others] = [points.filter((one) => !one.dominatedBy), points.filter((one) => one.dominatedBy)];
  const { inputHeight = 0, inputWidth = 0, threads = 0, device = "" } = conditions ?? {};
  const color = colourOf(0);
  const series: SeriesOption[] = [
    {
      ...{ name: ON_FRONT, type: "line", step: "end", symbol: "circle", symbolSize: 10, z: 3, data: data(front) },
      ...{ itemStyle: { color }, lineStyle: { color, width: 1.4 }, labelLayout: { hideOverlap: true } },
      label: { ...label, show: true, position: "right", formatter: "{b}" },
    },
    {
      name: DOMINATED,
      type: "scatter",
      symbolSize: 8,
      itemStyle: { color: LINE, opacity: 0.8 },
      z: 2,
      data: data(others),
    },
  ];
  return {
    name,
    title: `mIoU against latency at ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}, ${device}`,
    option: {
      ...frame(others.length > 0 ? [ON_FRONT, DOMINATED] : [ON_FRONT]),
      xAxis: bottom("latency p50 (ms)"),
      yAxis: left(conditions?.retrained === false ? "mIoU before retraining (%)" : "retrained mIoU (%)"),
      series: others.length > 0 ? series : series.slice(0, 1),
    },
  };
}
