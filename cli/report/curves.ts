import type { EChartsOption, SeriesOption } from "echarts";
import { bottom, label, left } from "../plot/axes";
import { colourOf, drawn, INK, LINE, RULE } from "../plot/svg";
import { Html, html } from "./html";

type Point = readonly [x: number, y: number];

/** One line of a chart, in its own colour unless `dashed`, as a target is. */
interface Line {
  name: string;
  points: readonly Point[];
  dashed?: boolean;
}

interface Chart {
  /** Unique in the page. */
  id: string;
  title: string;
  x: string;
  y: string;
  lines: readonly Line[];
  /** The axis of y begins at zero. */
  zero?: boolean;
  /** Points without lines between them. */
  scattered?: boolean;
}

const size = { width: 480, height: 300 };

/** A chart with its title, as static SVG in the colours of the page; undefined where no line has a point. */
export function chart({ id, title, x, y, lines, zero = false, scattered = false }: Chart): Html | undefined {
  const shown = lines.filter(({ points }) => points.length > 0);
  if (shown.length === 0) return undefined;
  const option: EChartsOption = {
    grid: { left: 64, right: 20, top: 40, bottom: 52 },
    legend: { top: 4, left: 56, itemWidth: 18, itemGap: 16, textStyle: label, data: shown.map(({ name }) => name) },
    xAxis: bottom(x),
    yAxis: left(y, { zero }),
    series: shown.map((line, index) => seriesOf(line, index, scattered)),
  };
  const ends = shown.map(({ name, points }) => `${name}: ${rounded(points[0]?.[1])} to ${rounded(points.at(-1)?.[1])}`);
  const words = `${title}; ${scattered ? "" : `${ends.join("; ")}, `}over ${x}`;
  return html`<figure>
    <h3>${title}</h3>
    ${inPage(drawn(size.width, size.height, option), id, words)}
  </figure>`;
}

const rounded = (value = 0): string => String(Number(value.toPrecision(3)));

function seriesOf({ name, points, dashed = false }: Line, index: number, scattered: boolean): SeriesOption {
  const data = points.map((point) => [...point]);
  const color = dashed ? LINE : colourOf(index);
  if (scattered) return { name, type: "scatter", symbolSize: 7, itemStyle: { color, opacity: 0.8 }, data };
  const lineStyle = { color, width: 2, type: dashed ? ("dashed" as const) : ("solid" as const) };
  // A line of one point is invisible without a symbol.
  return { name, type: "line", symbol: points.length === 1 ? "circle" : "none", itemStyle: { color }, lineStyle, data };
}

const colours: readonly (readonly [string, string])[] = [
  [INK, "var(--ink)"],
  [LINE, "var(--line)"],
  [RULE, "var(--rule)"],
];

/** An SVG of ECharts as part of a page: named, without its rules for a mouse, with ids and colours of the page. */
function inPage(svg: string, id: string, words: string): Html {
  const still = svg.replace(/<style[^]*?<\/style>/, "").replace(/ class="zr\d+-cls-\d+"/g, "");
  const own = still.replace(/\bzr\d+-/g, `${id}-`);
  const coloured = colours.reduce((text, [from, to]) => text.replaceAll(`"${from}"`, `"${to}"`), own);
  // Width and height come from the style; the view box keeps the proportions.
  const body = coloured.replace(/<svg [^>]*>/, "");
  return html`<svg
    xmlns="http://www.w3.org/2000/svg"
    viewBox="0 0 ${size.width} ${size.height}"
    role="img"
    aria-label="${words}"
  >
    ${new Html(body)}
  </svg>`;
}
