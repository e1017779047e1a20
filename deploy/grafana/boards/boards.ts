import type { Board } from "./board";
import { latency } from "./latency";
import { platform } from "./platform";
import { search } from "./search";
import { searches } from "./searches";

/** By the name of their file in ../dashboards, which `npm run boards` writes. */
export const boards: Readonly<Record<string, Board>> = {
  "searches.json": searches,
  "search.json": search,
  "latency.json": latency,
  "platform.json": platform,
};

/** A file of ../dashboards: JSON with a line per field and per panel, so that a change shows as the panel that it is. */
export function text({ panels, ...rest }: Board): string {
  const fields = Object.entries(rest).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
  const lines = panels.map((panel) => `    ${JSON.stringify(panel)}`);
  return `{\n${fields.join("\n")}\n  "panels": [\n${lines.join(",\n")}\n  ]\n}\n`;
}
