import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { createMetrics } from "../shared/process/metrics";
import { itWith, promtool, selectorsOf } from "../shared/testing/prometheus";
import { boards as sourceOf, text } from "./grafana/boards/boards";

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
  tags: string[];
  links: { type: string; tags: string[] }[];
  annotations: { list: Target[] };
  templating: { list: { name: string; type: string; definition?: string }[] };
  panels: Panel[];
}

interface Rule {
  record?: string;
  alert?: string;
  expr: string;
}

const folder = join(__dirname, "grafana", "dashboards");
const boards = readdirSync(folder).map((file): [string, Board] => [
  file,
  JSON.parse(readFileSync(join(folder, file), "utf8")) as Board,
]);
const rules = (
  parse(readFileSync(join(__dirname, "prometheus", "rules", "lathe.yaml"), "utf8")) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);

const drawn = ({ panels }: Board) => panels.filter(({ type }) => type !== "row");
/** Every query of a board, annotations too. */
const targetsOf = (board: Board) => [...drawn(board).flatMap(({ targets = [] }) => targets), ...board.annotations.list];
const metricsOf = (expr: string) => selectorsOf(expr).map(({ metric }) => metric);

/** Names that no process of ours registers, and who does. */
const foreign: Readonly<Record<string, string>> = {
  ALERTS: "Prometheus, of its rules",
  up: "Prometheus, of its targets",
  DCGM_FI_DEV_GPU_UTIL: "dcgm-exporter",
  DCGM_FI_DEV_FB_USED: "dcgm-exporter",
  DCGM_FI_DEV_FB_FREE: "dcgm-exporter",
  ...Object.fromEntries(rules.flatMap(({ record }) => (record === undefined ? [] : [[record, "lathe.yaml"]]))),
};

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

/** Names in the code that a help text follows. */
const own = sources("services", "shared").flatMap((source) =>
  [...source.matchAll(/"((?:nas|grpc)_[a-z0-9_]+)",\s*"[^"]* [^"]*"/g)].map(([, name = ""]) => name),
);
const known = new Set([
  ...own,
  ...Object.keys(foreign),
  ...createMetrics()
    .registry.getMetricsAsArray()
    .map(({ name }) => name),
]);
const withoutSuffix = (name: string) => name.replace(/_(bucket|sum|count)$/, "");
const unknown = (names: readonly string[]) =>
  names.filter((name) => !known.has(name) && !known.has(withoutSuffix(name)));

test("metrics are found in expressions", () => {
  const expr =
    'sum by (le, a) (rate(nas_x_bucket{b="c d"}[$__rate_interval])) / time() - max(nas_y) == 1 unless on (b) a:b{c=~"(d|e)"} < Inf';
  expect(metricsOf(expr)).toEqual(["nas_x_bucket", "nas_y", "a:b"]);
  expect(selectorsOf(expr).map(({ text }) => text)).toEqual(['nas_x_bucket{b="c d"}', "nas_y", 'a:b{c=~"(d|e)"}']);
});

test("the files equal the output of their source", () => {
  const files = Object.fromEntries(boards.map(([file]) => [file, readFileSync(join(folder, file), "utf8")]));
  // Else: npm run boards.
  expect(files).toEqual(Object.fromEntries(Object.entries(sourceOf).map(([file, board]) => [file, text(board)])));
});

test("the alerts ask only for metrics that the services register", () => {
  expect(unknown(rules.flatMap(({ expr }) => metricsOf(expr)))).toEqual([]);
});

test("each metric of the services is on a board or in an alert", () => {
  const asked = [...boards.flatMap(([, board]) => targetsOf(board)), ...rules].flatMap(({ expr }) => metricsOf(expr));
  const seen = new Set(asked.flatMap((name) => [name, withoutSuffix(name)]));
  expect(own.filter((name) => !seen.has(name))).toEqual([]);
});

test("docs/operate.md lists each metric of the services and no other", () => {
  const rows = readFileSync(join(__dirname, "..", "docs", "operate.md"), "utf8").match(/^\| `(nas|grpc)_[^|]*/gm) ?? [];
  const listed = rows.flatMap((row) => [...row.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name));
  expect(listed.sort()).toEqual([...new Set(own)].sort());
});

test("boards link to each other, and each has its own uid", () => {
  expect(new Set(boards.map(([, { uid }]) => uid)).size).toBe(boards.length);
  for (const [, { tags, links }] of boards) {
    expect(tags).toContain("lathe");
    expect(links).toEqual([expect.objectContaining({ type: "dashboards", tags: ["lathe"] })]);
  }
  const opened = boards.flatMap(([, board]) => [...JSON.stringify(board).matchAll(/"\/d\/([a-z-]+)\?/g)]);
  expect(opened.map(([, uid]) => uid)).toEqual(["lathe-search"]);
  expect(boards.map(([, { uid }]) => uid)).toContain("lathe-search");
});

describe.each(boards)("%s", (_file, board) => {
  const panels = drawn(board);
  const targets = targetsOf(board);

  it("can be provisioned", () => {
    expect(board.uid).toMatch(/^[a-z0-9-]{1,40}$/);
    expect(board.title).not.toBe("");
    expect(board.schemaVersion).toBeGreaterThanOrEqual(36);
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
    expect(panels.length).toBeGreaterThan(0);
  });

  it("queries the data source that the reader selects", () => {
    expect(board.templating.list).toContainEqual(expect.objectContaining({ name: "datasource", type: "datasource" }));
    for (const { datasource } of [...panels, ...targets]) expect(datasource?.uid).toBe("${datasource}");
    expect(JSON.stringify(board)).not.toMatch(/"uid":"(?!\$\{datasource\}|lathe-)/);
  });

  it.each(panels.map((panel): [string, Panel] => [panel.title, panel]))("has a description: %s", (_title, panel) => {
    expect(panel.description ?? "").toMatch(/\.$/);
    expect(panel.fieldConfig?.defaults.unit ?? "").not.toBe("");
    expect(panel.targets ?? []).not.toEqual([]);
    for (const { legendFormat } of panel.targets ?? []) expect(legendFormat ?? "").not.toBe("");
  });

  it("asks only for metrics that the services register", () => {
    const labels = board.templating.list.flatMap(({ definition = "" }) => {
      const metric = /^label_values\((\w+),/.exec(definition)?.[1];
      return metric === undefined ? [] : [metric];
    });
    expect(unknown([...labels, ...targets.flatMap(({ expr }) => metricsOf(expr))])).toEqual([]);
    expect(targets.filter(({ expr }) => metricsOf(expr).length === 0)).toEqual([]);
  });

  it("never shows a raw counter, and computes rates over an interval with several scrapes", () => {
    const bare = targets.flatMap(({ expr }) =>
      selectorsOf(expr).filter(
        ({ metric, before }) => /_(total|bucket|sum|count)$/.test(metric) && !/\b(rate|increase)\($/.test(before),
      ),
    );
    expect(bare.map(({ text }) => text)).toEqual([]);
    const ranges = targets.flatMap(({ expr }) =>
      [...expr.matchAll(/(\w+)\([^()[\]]*\[([^\]]*)\]/g)].map(([, name, range]) => `${name} ${range}`),
    );
    const allowed = ["rate $__rate_interval", "increase $__range"];
    expect(ranges.filter((range) => !allowed.includes(range))).toEqual([]);
  });

  it("uses only its own variables and those of Grafana", () => {
    const variables = board.templating.list.map(({ name }) => name);
    const used = targets.flatMap(({ expr }) => [...expr.matchAll(/\$\{?(\w+)/g)].map(([, name = ""]) => name));
    const grafanas = ["__rate_interval", "__range"];
    expect(used.filter((name) => !variables.includes(name) && !grafanas.includes(name))).toEqual([]);
  });

  itWith("promtool")("has queries that Prometheus can read", () => {
    const exprs = targets.map(({ expr }) =>
      expr.replaceAll("$__rate_interval", "1m").replaceAll("$__range", "1h").replaceAll("$search", "s-1"),
    );
    const made = mkdtempSync(join(tmpdir(), "lathe-board-"));
    const file = join(made, "queries.yaml");
    writeFileSync(
      file,
      stringify({ groups: [{ name: "queries", rules: exprs.map((expr, i) => ({ record: `query:${i}`, expr })) }] }),
    );
    expect(promtool(["check", "rules", file])).toMatchObject({ status: 0 });
    rmSync(made, { recursive: true });
  });

  it("has no overlapping panels", () => {
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
