import { init, type EChartsOption } from "echarts";

export interface Plot {
  /** File name without extension. */
  name: string;
  title: string;
  option: EChartsOption;
}

const size = { width: 900, height: 480 };
const ink = "#333";
const fontFamily = "Helvetica, Arial, 'Liberation Sans', sans-serif";

/** Colours that colour-blind readers can distinguish (Okabe and Ito, 2008). */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#a6761d"];

export const colourOf = (index: number): string => colours[index % colours.length]!;

/** Renders a plot as an SVG of 900x480 pixels, without a browser. */
export function svgOf({ title, option }: Plot): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, ...size });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: "#fff",
      textStyle: { fontFamily, fontSize: 13, color: ink },
      title: { text: title, left: 16, top: 12, textStyle: { fontFamily, fontSize: 16, color: ink } },
      ...option,
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
