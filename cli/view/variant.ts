import type { Figures } from "../variant/measure";
import { milliseconds, overClasses, quantity } from "./format";

/** A variant of a network beside the network itself. */
interface Comparison {
  /** What each is called: "float" and "int8". */
  readonly names: readonly [string, string];
  readonly figures: readonly [Figures, Figures];
  /** Share of the pixels of the validation images that get the same class. */
  readonly sameClasses: number;
}

const WIDE = 24;

/** The figures of a network and its variant side by side as text. */
export function comparisonLines({ names, figures, sameClasses }: Comparison): string[] {
  const [before, after] = figures;
  const [latency] = before.latencies;
  const columns = (name: string, ...cells: string[]) => `  ${name.padEnd(14)}${cells.map((cell) => cell.padEnd(WIDE)).join("")}`.trimEnd(); // prettier-ignore
  const row = (name: string, of: (each: Figures) => string, change: string) =>
    columns(name, ...figures.map(of), change); // prettier-ignore
  const ratio = (a: number, b: number) => `${(b / a).toFixed(2)} times`;
  const points = 100 * (after.miou - before.miou);
  const unstable = figures.flatMap(({ latencies }, at) => (latencies.some(({ stable }) => !stable) ? [names[at]] : []));
  const { device = "", threads = 1, inputHeight, inputWidth } = latency ?? {};
  return [
    columns("", ...names),
    row("mIoU", ({ miou, miouClasses }) => overClasses(miou, miouClasses), `${points < 0 ? "" : "+"}${points.toFixed(2)} points`), // prettier-ignore
    row("latency p50", ({ p50Seconds }) => milliseconds(p50Seconds), ratio(before.p50Seconds, after.p50Seconds)),
    row("size", ({ bytes }) => `${quantity(bytes)}B`, ratio(before.bytes, after.bytes)),
    `  same class    ${(100 * sameClasses).toFixed(2)} % of the pixels of the validation images`,
    `  latency of one image of ${inputHeight}x${inputWidth}, ${threads} thread${threads === 1 ? "" : "s"}, on ${device}; median of ${before.latencies.length} turns`,
    ...(unstable.length === 0 ? [] : [`  latency of ${unstable.join(" and ")} is unstable: the machine was busy or its speed drifted (lathe profile network says more)`]), // prettier-ignore
  ];
}
