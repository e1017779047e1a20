import type { Figure } from "./finding";

/** The facts of a run as a list, and its figures as a markdown table. */
export function markdown(facts: Record<string, string>, figures: readonly Figure[]): string {
  const rows = figures.map(
    ({ name, value, unit, bound }) => `| ${name} | ${digits(value)} | ${unit} | ${bound ?? ""} |`,
  );
  const head = ["| figure | value | unit | bound |", "| --- | --- | --- | --- |"];
  const list = Object.entries(facts).map(([name, value]) => `- ${name}: ${value}`);
  return [...list, "", ...(rows.length > 0 ? [...head, ...rows] : ["No figure was measured."]), ""].join("\n");
}

/** Three significant digits. */
function digits(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1);
  return Math.abs(value) < 100 ? String(Number(value.toPrecision(3))) : value.toFixed(0);
}
