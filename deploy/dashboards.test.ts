import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createMetrics } from "../shared/process/metrics";

interface Target {
  datasource?: { uid?: string };
  expr: string;
  legendFormat?: string;
}

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { uid?: string };
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig?: { defaults: { unit?: string } };
  targets?: Target[];
}

interface Board {
  uid: string;
  title: string;
  schemaVersion: number;
  templating: { list: { name: string; type: string; definition?: string }[] };
  panels: Panel[];
}

const folder = join(__dirname, "grafana", "dashboards");
const boards = readdirSync(folder).map((file): [string, Board] => [
  file,
  JSON.parse(readFileSync(join(folder, file), "utf8")) as Board,
]);

/** Every .ts below these folders but tests. */
function sources(...folders: string[]): string[] {
  return folders.flatMap((name) => {
    const at = join(__dirname, "..", name);
    const files = readdirSync(at, { recursive: true, encoding: "utf8" });
    const code = files.filter(
      (file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.startsWith("proto/"),
    );
    return code.map((file) => readFileSync(join(at, file), "utf8"));
  });
}

/** Names in the code that a help text follows, and those of prom-client. */
function registered(): Set<string> {
  const names = sources("services", "shared").flatMap((source) =>
    [...source.matchAll(/"((?:nas|grpc)_[a-z0-9_]+)",\s*"[^"]* [^"]*"/g)].map(([, name = ""]) => name),
  );
  return new Set([
    ...names,
    ...createMetrics()
      .registry.getMetricsAsArray()
      .map(({ name }) => name),
  ]);
}

/** The metrics of a PromQL expression: what stands alone, once labels, ranges and functions are out of it. */
function metricsOf(expr: string): string[] {
  const bare = expr
    .replaceAll(/"[^"]*"/g, "")
    .replaceAll(/\{[^}]*\}/g, "")
    .replaceAll(/\[[^\]]*\]/g, "")
    .replaceAll(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, "");
  return [...bare.matchAll(/\b[a-z_:][a-z0-9_:]*\b(?!\s*\()/g)].map(([name]) => name);
}

const withoutSuffix = (name: string) => name.replace(/_(bucket|sum|count)$/, "");

test("metrics are found in expressions", () => {
  expect(
    metricsOf('sum by (le, a) (rate(nas_x_bucket{b="c d"}[$__rate_interval])) / time() - max(nas_y) == 1'),
  ).toEqual(["nas_x_bucket", "nas_y"]);
});

describe.each(boards)("%s", (_file, board) => {
  const panels = board.panels.filter(({ type }) => type !== "row");
  const targets = panels.flatMap(({ targets = [] }) => targets);
  const names = registered();

  it("can be provisioned", () => {
    expect(board.uid).toMatch(/^[a-z0-9-]{1,40}$/);
    expect(board.title).not.toBe("");
    expect(board.schemaVersion).toBeGreaterThanOrEqual(36);
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
    expect(panels.length).toBeGreaterThan(0);
  });

  it("asks the data source that the reader chooses", () => {
    expect(board.templating.list).toContainEqual(expect.objectContaining({ name: "datasource", type: "datasource" }));
    for (const { datasource } of [...panels, ...targets]) expect(datasource?.uid).toBe("${datasource}");
  });

  it.each(panels.map((panel): [string, Panel] => [panel.title, panel]))("says what it shows: %s", (_title, panel) => {
    expect(panel.description ?? "").toMatch(/\.$/);
    expect(panel.fieldConfig?.defaults.unit ?? "").not.toBe("");
    expect(panel.targets ?? []).not.toEqual([]);
  });

  it("asks only for metrics that the services register", () => {
    const labels = board.templating.list.flatMap(({ definition = "" }) => {
      const metric = /^label_values\((\w+),/.exec(definition)?.[1];
      return metric === undefined ? [] : [metric];
    });
    const asked = [...labels, ...targets.flatMap(({ expr }) => metricsOf(expr))];
    expect(asked.filter((name) => !names.has(name) && !names.has(withoutSuffix(name)))).toEqual([]);
    expect(targets.filter(({ expr }) => metricsOf(expr).length === 0)).toEqual([]);
  });

  it("uses only variables that it has, or that Grafana has", () => {
    const own = board.templating.list.map(({ name }) => name);
    const used = targets.flatMap(({ expr }) => [...expr.matchAll(/\$\{?(\w+)/g)].map(([, name = ""]) => name));
    expect(used.filter((name) => !own.includes(name) && !["__rate_interval", "__range"].includes(name))).toEqual([]);
  });

  it("has no two panels in one place", () => {
    const overlaps = board.panels.flatMap((a, index) =>
      board.panels.slice(index + 1).filter(({ gridPos: b }) => {
        const apart = (start: "x" | "y", size: "w" | "h") =>
          a.gridPos[start] + a.gridPos[size] <= b[start] || b[start] + b[size] <= a.gridPos[start];
        return !apart("x", "w") && !apart("y", "h");
      }),
    );
    expect(overlaps.map(({ title }) => title)).toEqual([]);
    for (const { gridPos } of board.panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  });
});
