/** PromQL expressions by the legends of their series. */
type Queries = Readonly<Record<string, string>>;

/** A panel, at most 24 units wide; `board` adds its id, position and data source. */
interface Panel {
  type: string;
  title: string;
  description: string;
  w: number;
  h: number;
  queries: Queries;
  /** Queries only the current value; "table" makes each label a column. */
  instant?: "series" | "table";
  fieldConfig: { defaults: { unit: string; [key: string]: unknown }; overrides: object[] };
  options: object;
  transformations?: object[];
}

/** Makes the panels of one kind, unit and look. */
type Kind = (title: string, description: string, queries: Queries) => Panel;

interface Contents {
  uid: string;
  title: string;
  description: string;
  /** Adds a selector of one search, or of any number. */
  search?: "one" | "many";
  /** Annotations of every time series: `expr` yields times in milliseconds, `text` the text of an annotation. */
  marks?: { name: string; expr: string; text: string };
  /** Panels by the title of their row. */
  rows: Readonly<Record<string, readonly Panel[]>>;
}

interface Look {
  w?: number;
  h?: number;
  max?: number;
  decimals?: number;
  /** Draws a time series below 0 too. */
  signed?: true;
  /** Draws steps: a value of an epoch holds until the next one. */
  step?: true;
  /** Shows the last value of the time range, for series that may have ended; otherwise the current value. */
  last?: true;
}

const datasource = { type: "prometheus", uid: "${datasource}" };

/** Time series. */
export const curves =
  (unit: string, { w = 8, h = 8, signed, step, ...bounds }: Look = {}): Kind =>
  (title, description, queries) => {
    const custom = {
      lineWidth: 1,
      fillOpacity: 0,
      showPoints: "never",
      ...(step && { lineInterpolation: "stepAfter" }),
    };
    return {
      ...{ type: "timeseries", title, description, w, h, queries },
      fieldConfig: { defaults: { unit, ...(!signed && { min: 0 }), ...bounds, custom }, overrides: [] },
      options: {
        legend: { displayMode: "list", placement: "bottom", showLegend: true },
        tooltip: { mode: "multi", sort: "desc" },
      },
    };
  };

/** One number per series. */
export const stats =
  (unit: string, { w = 4, h = 4, last, ...bounds }: Look = {}): Kind =>
  (title, description, queries) => ({
    ...{ type: "stat", title, description, w, h, queries, ...(!last && { instant: "series" as const }) },
    fieldConfig: { defaults: { unit, ...bounds }, overrides: [] },
    options: {
      reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
      ...{ colorMode: "none", graphMode: "none", textMode: "auto" },
    },
  });

/** State timelines: a bar while the value of a series is 1. */
export const bars =
  ({ w = 24, h = 6 }: Look = {}): Kind =>
  (title, description, queries) => {
    const mappings = [{ type: "value", options: { "1": { text: "yes", color: "blue" } } }];
    return {
      ...{ type: "state-timeline", title, description, w, h, queries },
      fieldConfig: { defaults: { unit: "short", custom: { fillOpacity: 70, lineWidth: 0 }, mappings }, overrides: [] },
      options: {
        ...{ showValue: "never", mergeValues: true },
        legend: { displayMode: "list", placement: "bottom", showLegend: false },
      },
    };
  };

/** A column of a table: a label of the queries, or the value of the query with this legend. */
interface Column {
  label: string;
  name?: string;
  unit?: string;
  /** Uid of the board that a click on the cell opens, with the cell's value as `search`. */
  opens?: string;
}

/** Tables of current values, with a row per set of labels. Labels without a column are dropped. */
export const table =
  (columns: Column[], { w = 24, h = 8 }: Look = {}): Kind =>
  (title, description, queries) => {
    const legends = Object.keys(queries);
    const fieldOf = new Map(
      legends.map((legend, at) => [legend, legends.length === 1 ? "Value" : `Value #${refId(at)}`]),
    );
    const shown = new Set(columns.map(({ label }) => label));
    const dropped = ["Time", ...[...fieldOf].flatMap(([legend, field]) => (shown.has(legend) ? [] : [field]))];
    const fields = columns.map(({ label, name = label }) => ({ field: fieldOf.get(label) ?? label, name }));
    return {
      ...{ type: "table", title, description, w, h, queries, instant: "table" },
      fieldConfig: {
        defaults: { unit: "short", custom: { align: "auto" } },
        overrides: columns.flatMap(({ label, name = label, unit, opens }) => {
          const url = `/d/${opens}?var-search=\${__value.raw}&\${datasource:queryparam}`;
          return [
            ...(unit === undefined ? [] : [override(name, "unit", unit)]),
            ...(opens === undefined ? [] : [override(name, "links", [{ title: "Open", url }])]),
          ];
        }),
      },
      options: { showHeader: true, cellHeight: "sm", footer: { show: false } },
      transformations: [
        { id: "merge", options: {} },
        {
          id: "organize",
          options: {
            excludeByName: Object.fromEntries(dropped.map((field) => [field, true])),
            indexByName: Object.fromEntries(fields.map(({ field }, at) => [field, at])),
            renameByName: Object.fromEntries(fields.map(({ field, name }) => [field, name])),
          },
        },
      ],
    };
  };

const override = (field: string, id: string, value: unknown) => ({
  matcher: { id: "byName", options: field },
  properties: [{ id, value }],
});

const refId = (index: number) => String.fromCharCode("A".charCodeAt(0) + index);

/** The board as Grafana's JSON: rows from top to bottom, and panels from left to right within a row. */
export function board({ uid, title, description, search, marks, rows }: Contents) {
  const panels: object[] = [];
  let y = 0;
  for (const [name, row] of Object.entries(rows)) {
    panels.push({
      ...{ id: panels.length + 1, type: "row", title: name, collapsed: false },
      ...{ gridPos: { h: 1, w: 24, x: 0, y }, panels: [] },
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const { w, h, queries, instant, ...panel } of row) {
      if (x + w > 24) {
        y += height;
        x = height = 0;
      }
      panels.push({
        ...{ id: panels.length + 1, ...panel, datasource, gridPos: { h, w, x, y } },
        targets: Object.entries(queries).map(([legendFormat, expr], index) => ({
          ...{ datasource, editorMode: "code", expr, legendFormat, refId: refId(index) },
          ...(instant ? { instant: true, range: false } : { range: true }),
          ...(instant === "table" && { format: "table" }),
        })),
      });
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  const mark = marks && {
    ...{ name: marks.name, datasource, enable: true, hide: false, iconColor: "purple", expr: marks.expr },
    ...{ useValueForTime: true, titleFormat: marks.name, textFormat: marks.text, step: "10s" },
  };
  return {
    ...{ uid, title, description, tags: ["lathe"], schemaVersion: 39, version: 1, editable: false, graphTooltip: 1 },
    ...{ refresh: "10s", time: { from: "now-1h", to: "now" }, timezone: "browser", timepicker: {} },
    annotations: { list: mark ? [mark] : [] },
    links: [
      {
        ...{ type: "dashboards", title: "Lathe", tags: ["lathe"], asDropdown: false, targetBlank: false },
        ...{ includeVars: true, keepTime: true },
      },
    ],
    templating: { list: [sources, ...(search ? [searches(search === "many")] : [])] },
    panels,
  };
}

export type Board = ReturnType<typeof board>;

const sources = {
  ...{ name: "datasource", type: "datasource", label: "Data source", query: "prometheus", current: {} },
  ...{ hide: 0, multi: false, includeAll: false, options: [], refresh: 1, regex: "" },
};

/** A selector of the searches that ran within the time range. */
const searches = (many: boolean) => ({
  ...{ name: "search", type: "query", label: "Search", datasource },
  ...{ query: { query: "label_values(nas_search_phase, search_id)", refId: "search" } },
  ...{ definition: "label_values(nas_search_phase, search_id)", hide: 0, multi: many, includeAll: many },
  ...(many ? { allValue: ".*", current: { text: ["All"], value: ["$__all"] } } : { current: {} }),
  ...{ options: [], refresh: 2, regex: "", sort: 1 },
});

/** A panel of two boards: health alarms by kind. */
export const alarms = (description: string, w = 8) =>
  curves("none", { w, decimals: 0 })("Health alarms", description, {
    "{{kind}}": "sum by (kind) (increase(nas_search_alarms_total[$__range])) > 0",
  });

/** A panel of two boards: the discretization gap. */
export const gap = curves("percentunit", { decimals: 2, step: true, signed: true })(
  "Discretization gap",
  "mIoU of the newest supernet minus mIoU of the network derived from it, with inherited weights. Near 0 for a converged search.",
  { gap: "max(nas_discretization_gap_ratio)" },
);
