import { init, type EChartsOption } from "echarts";

export interface Plot {
  /** File name without extension. */
  name: string;
  title: string;
  option: EChartsOption;
}

/** Colours of texts, of axes and of the lines behind a plot. */
export const INK = "#333";
export const LINE = "#888";
export const RULE = "#e4e4e4";

const fontFamily = "Helvetica, Arial, 'Liberation Sans', sans-serif";

/** Colours that colour-blind readers can distinguish (Okabe and Ito, 2008). */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#a6761d"];

export const colourOf = (index: number): string => colours[index % colours.length]!;

/** Renders a plot with its title on white as an SVG of 900x480 pixels. */
export const svgOf = ({ title, option }: Plot): string =>
  drawn(900, 480, {
    backgroundColor: "#fff",
    title: { text: title, left: 16, top: 12, textStyle: { fontFamily, fontSize: 16, color: INK } },
    ...option,
  });

/** Renders a chart as an SVG of a size in pixels, without a browser. */
export function drawn(width: number, height: number, option: EChartsOption): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily, fontSize: 13, color: INK }, ...option });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
