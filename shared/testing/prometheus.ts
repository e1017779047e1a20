import { spawnSync } from "node:child_process";

/** `it` where a program is on PATH, else a skipped test whose name says why. Debian's package prometheus contains both programs. */
export function itWith(
  program: "promtool" | "prometheus",
): (name: string, test: jest.ProvidesCallback, ms?: number) => void {
  if (isOnPath(program)) return it;
  return (name) => it.skip(`${name} (left out: ${program} is not on PATH)`, () => {});
}

export function isOnPath(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

/** Runs promtool to its end; returns the text of both outputs. */
export function promtool(args: readonly string[], input = ""): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { status, text: stdout + stderr };
}

interface Selector {
  /** The selector in the expression, without a range. */
  text: string;
  metric: string;
  /** The expression up to it. */
  before: string;
}

const KEYWORDS = new Set(["and", "or", "unless", "bool", "offset", "Inf", "NaN"]);

/** The vector selectors of a PromQL expression: names with their matchers, after label lists and ranges are removed. */
export function selectorsOf(expr: string): Selector[] {
  const bare = expr
    .replaceAll(/\[[^\]]*\]/g, "")
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, "");
  return [...bare.matchAll(/(?<![\w:$])([a-zA-Z_:][\w:]*)\b(?!\s*\()(\{[^}]*\})?/g)]
    .map((match) => ({ text: match[0], metric: match[1]!, before: bare.slice(0, match.index) }))
    .filter(({ metric }) => !KEYWORDS.has(metric));
}
