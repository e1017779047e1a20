import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { packageRoot } from "../shared/process/root";

/** Characters that a reader sees in a line of prose at most; a paragraph may have several lines. */
const LONGEST = 300;

/** Markdown files of the root and of some folders. */
function documents(): string[] {
  const root = packageRoot();
  const below = ["docs", "helm"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => join(root, folder, name)),
  );
  return [...readdirSync(root).map((name) => join(root, name)), ...below].filter((path) => path.endsWith(".md"));
}

/** Numbers of the lines of prose that are too long; code and tables are left out, and the targets of links are not read. */
function tooLong(text: string): number[] {
  let code = false;
  return text.split("\n").flatMap((line, index) => {
    if (line.trimStart().startsWith("```")) code = !code;
    if (code || /^( {4}|\|)/.test(line)) return [];
    return line.replaceAll(/\]\([^)]*\)/g, "]").length > LONGEST ? [index + 1] : [];
  });
}

it("no line of prose has more than 300 characters", () => {
  const found = documents().flatMap((path) =>
    tooLong(readFileSync(path, "utf8")).map((line) => `${relative(packageRoot(), path)}:${line}`),
  );
  expect(found).toEqual([]);
});

it("a long line is found in prose, and not in tables, code and link targets", () => {
  const long = "word ".repeat(61).trim();
  expect(tooLong(`short\n${long}\n| ${long} |\n    ${long}\n[link](${long.replaceAll(" ", "/")})`)).toEqual([2]);
});
