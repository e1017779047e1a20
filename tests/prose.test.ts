import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../shared/process/root";
import { filesOf } from "./references";

/** Longest line of prose in characters, including the targets of links; a paragraph may have several lines. */
const LONGEST = 300;

/** Numbers of the lines of prose that are too long, without code and tables. */
function tooLong(text: string): number[] {
  let code = false;
  return text.split("\n").flatMap((line, index) => {
    if (line.trimStart().startsWith("```")) code = !code;
    if (code || /^( {4}|\|)/.test(line)) return [];
    return line.length > LONGEST ? [index + 1] : [];
  });
}

it("no line of prose has more than 300 characters", () => {
  const root = packageRoot();
  const documents = filesOf(root, ["docs", "helm"]).filter((file) => file.endsWith(".md"));
  const found = documents.flatMap((file) =>
    tooLong(readFileSync(join(root, file), "utf8")).map((line) => `${file}:${line}`),
  );
  expect(found).toEqual([]);
});

it("a long line is found in prose, links included, and not in tables and code", () => {
  const long = "word ".repeat(61).trim();
  expect(tooLong(`short\n${long}\n| ${long} |\n    ${long}\n[link](${long.replaceAll(" ", "/")})`)).toEqual([2, 5]);
});
