import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parse, stringify } from "yaml";
import { itWith, promtool } from "../../shared/testing/prometheus";

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

const root = join(__dirname, "..", "..");
const file = join(__dirname, "rules", "lathe.yaml");
const source = readFileSync(file, "utf8");
const tests = readdirSync(join(__dirname, "rules", "tests"));
const rulesOf = (text: string) => (parse(text) as { groups: { rules: Rule[] }[] }).groups.flatMap(({ rules }) => rules);
const alerts = rulesOf(source).filter(({ alert }) => alert !== undefined);
const names = [...new Set(alerts.map(({ alert }) => alert!))];

/** Checks the rules and runs their tests; whether all is well. */
function passes(rules: string): { checked: boolean; tested: boolean; text: string } {
  const folder = mkdtempSync(join(tmpdir(), "lathe-rules-"));
  try {
    mkdirSync(join(folder, "tests"));
    writeFileSync(join(folder, "lathe.yaml"), rules);
    for (const name of tests)
      writeFileSync(join(folder, "tests", name), readFileSync(join(__dirname, "rules", "tests", name)));
    const check = promtool(["check", "rules", join(folder, "lathe.yaml")]);
    const test = promtool(["test", "rules", ...tests.map((name) => join(folder, "tests", name))]);
    return { checked: check.status === 0, tested: test.status === 0, text: check.text + test.text };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What an expression must not become: every alert is there, with its thresholds, its windows and what it leaves out. */
const EXPRESSIONS: readonly (readonly [alert: string, from: string, to: string])[] = [
  ["LatheSearchStalled", "> 900", "> 1500"],
  ["LatheSearchStalled", "> 900", "> 450"],
  ["LatheLossNotFinite", 'kind="loss_not_finite"', 'kind="plateau"'],
  ["LatheLossNotFinite", "[15m]", "[30m]"],
  ["LatheLossNotFinite", "< Inf", "<= Inf"],
  ["LatheLossNotFinite", "or max", "and max"],
  ["LatheSearchCollapse", "trivial_predictor|", ""],
  ["LatheSearchCollapse", "trivial_predictor|", "trivial_predictor|gradient_norm|"],
  ["LatheSearchCollapse", "trivial_predictor|", "trivial_predictor|late_entropy|"],
  ["LatheSearchCollapse", "> 0", ">= 0"],
  ["LatheQueueLag", "> 0", "> 1"],
  ["LatheQueueLag", "> 0", ">= 0"],
  ["LatheQueueLag", "== 0", "<= 1"],
  ["LatheQueueLag", "unless on", "and on"],
  ["LatheQueueLag", '_pending{stream="WORK"}', "_pending"],
  ["LatheStuckMessages", "> 0", "> 1"],
  ["LatheStuckMessages", "> 0", ">= 0"],
  ["LatheStuckMessages", "max by", "min by"],
  ["LatheCheckpointStale", "2 *", "4 *"],
  ["LatheCheckpointStale", "2 *", "0 *"],
  ["LatheCheckpointStale", "3600", "1500"],
  ["LatheCheckpointStale", "3600", "5400"],
  ["LatheCheckpointStale", " or nas_training_started_timestamp_seconds", ""],
  ["LatheCheckpointStale", '{bucket="checkpoints"}', ""],
  ["LatheNatsLost", "== 0", "== 1"],
  ["LatheEventLoopLag", "> 1", "> 2"],
  ["LatheEventLoopLag", "> 1", "> 0.5"],
  ["LatheCertificateExpiry", "< 14", "< 7"],
  ["LatheCertificateExpiry", "< 14", "< 21"],
  ["LatheErrorBudgetBurn", "14.4 *", "28.8 *"],
  ["LatheErrorBudgetBurn", "14.4 *", "7.2 *"],
  ["LatheErrorBudgetBurn", "> 6 *", "> 24 *"],
  ["LatheErrorBudgetBurn", "> 6 *", "> 3 *"],
  ["LatheErrorBudgetBurn", "ratio_rate5m > 14.4", "ratio_rate1h > 14.4"],
  ["LatheErrorBudgetBurn", "ratio_rate30m > 6", "ratio_rate6h > 6"],
  ["LatheErrorBudgetBurn", "> 10", "> 0"],
  ["LatheErrorBudgetBurn", "> 10", "> 100000"],
];

/** The rules with each rule of an alert changed. */
function changed(alert: string, change: (rule: Rule) => void): string {
  const content = parse(source) as { groups: { rules: Rule[] }[] };
  for (const rule of content.groups.flatMap(({ rules }) => rules)) if (rule.alert === alert) change(rule);
  return stringify(content);
}

describe("alerts", () => {
  it.each(alerts)("$alert of severity $labels.severity says what it is and whom to ask", (rule) => {
    expect(rule.for).toMatch(/^\d+[mh]$/);
    expect(rule.labels?.["severity"]).toMatch(/^(critical|warning)$/);
    expect(Object.keys(rule.annotations ?? {})).toEqual(["summary", "description", "runbook_url"]);
    expect(rule.alert).toMatch(/^Lathe[A-Z]/);
  });

  it("have each its runbook, the runbook is in the index, and there is no other", () => {
    const kebab = (name: string) =>
      name
        .replace(/^Lathe/, "")
        .replaceAll(/(?<!^)[A-Z]/g, "-$&")
        .toLowerCase();
    for (const { alert, annotations } of alerts) {
      const url = annotations?.["runbook_url"] ?? "";
      expect(url).toBe(`docs/runbooks/${kebab(alert!)}.md`);
      expect(existsSync(join(root, url))).toBe(true);
      const text = readFileSync(join(root, url), "utf8");
      expect(text).toMatch(new RegExp(`^# ${alert}\n`));
      for (const part of ["**Meaning.**", "**Impact.**", "## Diagnose", "## Mend"]) expect(text).toContain(part);
    }
    const index = readFileSync(join(root, "docs/runbooks/README.md"), "utf8");
    const listed = [...index.matchAll(/^\| \[(\w+)\]\(([\w-]+\.md)\)/gm)].map(([, alert, page]) => `${alert} ${page}`);
    expect(listed.sort()).toEqual(names.map((alert) => `${alert} ${kebab(alert)}.md`).sort());
    const pages = readdirSync(join(root, "docs/runbooks")).filter((name) => name !== "README.md");
    expect(pages.sort()).toEqual(names.map((alert) => `${kebab(alert)}.md`).sort());
  });

  it("are in a file that Helm can embed as it is", () => {
    // .Files.Get takes the text; only Prometheus's own templates may stand in braces.
    for (const [braces] of source.matchAll(/\{\{.*?\}\}/g))
      expect(braces).toMatch(/^\{\{ \$(labels\.\w+|value \| \w+) \}\}$/);
  });

  it("are mounted where Prometheus looks for rules", () => {
    const { rule_files } = parse(readFileSync(join(__dirname, "prometheus.yaml"), "utf8")) as { rule_files: string[] };
    expect(rule_files).toEqual(["/etc/prometheus/rules/*.yaml"]);
    expect(basename(file)).toMatch(/\.yaml$/);
  });
});

describe("promtool", () => {
  itWith("promtool")("finds nothing wrong with the rules, and their tests pass", () => {
    const { checked, tested, text } = passes(source);
    expect([checked, tested, text]).toEqual([true, true, expect.any(String)]);
  });

  itWith("promtool")("finds nothing wrong with prometheus.yaml", () => {
    expect(promtool(["check", "config", join(__dirname, "prometheus.yaml")])).toMatchObject({ status: 0 });
  });

  it("has a change for every alert", () => {
    expect([...new Set(EXPRESSIONS.map(([alert]) => alert))].sort()).toEqual([...names].sort());
  });

  const mutations: (readonly [string, string])[] = [
    ...EXPRESSIONS.map(([alert, from, to]) => {
      const rules = changed(alert, (rule) => (rule.expr = rule.expr.replaceAll(from, to)));
      return [`${alert}: ${from} becomes ${to || "nothing"}`, rules] as const;
    }),
    ...names.flatMap((alert) => [
      [`${alert} fires at once`, changed(alert, (rule) => (rule.for = "0s"))] as const,
      [`${alert} fires late`, changed(alert, (rule) => (rule.for = "5h"))] as const,
      [`${alert} is of another severity`, changed(alert, (rule) => (rule.labels = { severity: "info" }))] as const,
    ]),
    ["errors: Internal does not count", source.replaceAll("|Internal|", "|")],
    ["errors: what the caller did wrong counts", source.replaceAll("Unknown|", "Unknown|InvalidArgument|")],
    ["errors: health checks count", source.replaceAll('grpc_service=~"lathe.+"', 'grpc_service=~".+"')],
  ];

  itWith("promtool")(
    "sees by the tests of the rules each change of a rule",
    () => {
      const whole = stringify(parse(source));
      const missed = mutations.filter(([, rules]) => {
        if (rules === source || rules === whole) return true;
        const { checked, tested } = passes(rules);
        return !checked || tested;
      });
      expect(missed.map(([what]) => what)).toEqual([]);
    },
    120_000,
  );
});
