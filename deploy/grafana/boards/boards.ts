import type { Board } from "./board";
import { latency } from "./latency";
import { platform } from "./platform";
import { search } from "./search";
import { searches } from "./searches";

/** All boards by the name of their file in ../dashboards; `npm run boards` writes them. */
export const boards: Readonly<Record<string, Board>> = {
  "searches.json": searches,
  "search.json": search,
  "latency.json": latency,
  "platform.json": platform,
};

/** The JSON of a board, with one line per field and per panel, so that a diff shows the changed panels. */
export function text({ panels, ...rest }: Board): string {
  const fields = Object.entries(rest).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
  const lines = panels.map((panel) => `    ${JSON.stringify(panel)}`);
  return `{\n${fields.join("\n")}\n  "panels": [\n${lines.join(",\n")}\n  ]\n}\n`;
}
