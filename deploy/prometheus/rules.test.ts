import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parse, parseAllDocuments, stringify } from "yaml";
import { itWith, promtool } from "../../shared/testing/prometheus";
import { SERVICES } from "../../cli/stack/stack";

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

interface Group {
  name: string;
  rules: Rule[];
}

const root = join(__dirname, "..", "..");
const file = join(__dirname, "rules", "lathe.yaml");
const source = readFileSync(file, "utf8");
const { groups } = parse(source) as { groups: Group[] };
const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
const names = [...new Set(alerts.map(({ alert }) => alert!))];

/** The tests of a group have a file of their own, so that each can run alone. */
const testsOf = ({ name }: Group) => join(__dirname, "rules", "tests", `${name.replace("lathe-", "")}.yaml`);

const folder = mkdtempSync(join(tmpdir(), "lathe-rules-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a state of a group with the tests of it; what promtool checks, and what it runs. */
function written(group: Group, name: string): { rules: string; tests: string } {
  const tests = join(folder, name, "tests");
  mkdirSync(tests, { recursive: true });
  writeFileSync(join(folder, name, "lathe.yaml"), stringify({ groups: [group] }));
  copyFileSync(testsOf(group), join(tests, "group.yaml"));
  return { rules: join(folder, name, "lathe.yaml"), tests: join(tests, "group.yaml") };
}

/** Wrong variants of each alert's expression: other thresholds, other windows, exceptions left out. */
const EXPRESSIONS: readonly (readonly [alert: string, from: string, to: string])[] = [
  ["LatheSearchStalled", "> 900", "> 1500"],
  ["LatheSearchStalled", "> 900", "> 450"],
  ["LatheSearchStalled", "[1d]", "[1h]"],
  ["LatheSearchStalled", "> 0", ">= 0"],
  ["LatheSearchStalled", "== 1", "== 0"],
  ["LatheSearchStalled", ',service="search"', ""],
  ["LatheSearchStalled", "max(up", "min(up"],
  ["LatheLossNotFinite", "> 0", ">= 0"],
  ["LatheLossNotFinite", "> 0", "> 100"],
  ["LatheLossNotFinite", "[15m]", "[30m]"],
  ["LatheSearchCollapse", "trivial_predictor|", ""],
  ["LatheSearchCollapse", "trivial_predictor|", "trivial_predictor|gradient_norm|"],
  ["LatheSearchCollapse", "trivial_predictor|", "trivial_predictor|late_entropy|"],
  ["LatheSearchCollapse", "> 0", ">= 0"],
  ["LatheDeviceMissing", "> 0", "> 1"],
  ["LatheDeviceMissing", "> 0", ">= 0"],
  ["LatheDeviceMissing", "max by", "min by"],
  ["LatheDeviceMissing", "max by", "sum by"],
  ["LatheQueueLag", "> 0", "> 1"],
  ["LatheQueueLag", "> 0", ">= 0"],
  ["LatheQueueLag", "== 0", "<= 1"],
  ["LatheQueueLag", "unless on", "and on"],
  ["LatheQueueLag", '_pending{stream="WORK"}', "_pending"],
  ["LatheStuckMessages", "> 0", "> 1"],
  ["LatheStuckMessages", "> 0", ">= 0"],
  ["LatheStuckMessages", "max by", "min by"],
  ["LatheDeadLetters", "> 0", "> 2"],
  ["LatheDeadLetters", "> 0", ">= 0"],
  ["LatheDeadLetters", "max(", "min("],
  ["LatheCheckpointStale", "2 *", "4 *"],
  ["LatheCheckpointStale", "2 *", "0 *"],
  ["LatheCheckpointStale", "3600", "1500"],
  ["LatheCheckpointStale", "3600", "5400"],
  ["LatheCheckpointStale", " or nas_training_started_timestamp_seconds", ""],
  ["LatheCheckpointStale", '{bucket="checkpoints"}', ""],
  ["LatheDecisionsWait", "> 0", "> 1"],
  ["LatheDecisionsWait", "> 0", ">= 0"],
  ["LatheDecisionsWait", "max by", "min by"],
  ["LatheDecisionsWait", ',consumer="shrinking-decisions"', ""],
  ["LatheServiceDown", "== 0", "== 1"],
  ["LatheServiceDown", "min by (service, instance)", "max by (service)"],
  ["LatheServiceDown", '{job="lathe"}', ""],
  ["LatheServiceDown", 'job="lathe",service="search"', 'service="search"'],
  ["LatheServiceDown", 'or absent(up{job="lathe",service="search"})\n', ""],
  ["LatheServiceDown", 'or absent(up{job="lathe",service="shrinking"})\n', ""],
  ["LatheServiceDown", 'or absent(up{job="lathe",service="discretization"})\n', ""],
  ["LatheServiceDown", '\nor absent(up{job="lathe",service="latency"})', ""],
  ["LatheServiceDown", 'service="latency"', 'service="supernet"'],
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

/** The group of an alert with each rule of that name changed. */
function changed(alert: string, change: (rule: Rule) => void): Group {
  const group = structuredClone(groups.find(({ rules }) => rules.some((rule) => rule.alert === alert))!);
  for (const rule of group.rules) if (rule.alert === alert) change(rule);
  return group;
}

/** The group of the error budget with each expression changed. */
function replaced(from: string, to: string): Group {
  const group = changed("LatheErrorBudgetBurn", () => {});
  for (const rule of group.rules) rule.expr = rule.expr.replaceAll(from, to);
  return group;
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

  it("select services by the labels that prometheus.yaml and the chart's monitors set", () => {
    const { scrape_configs } = parse(readFileSync(join(__dirname, "prometheus.yaml"), "utf8")) as {
      scrape_configs: { job_name: string; static_configs: { labels: { service: string } }[] }[];
    };
    expect(scrape_configs.map(({ job_name }) => job_name)).toEqual(["lathe"]);
    const services = scrape_configs[0]!.static_configs.map(({ labels }) => labels.service);
    expect(services.sort()).toEqual([...SERVICES].sort());

    interface Endpoint {
      relabelings: { targetLabel: string; replacement?: string }[];
    }
    interface Monitor {
      kind: string;
      spec: { endpoints?: Endpoint[]; podMetricsEndpoints?: Endpoint[] };
    }
    const golden = readFileSync(join(root, "helm/lathe/ci/golden/keda.yaml"), "utf8");
    const monitors = parseAllDocuments(golden)
      .map((document) => document.toJS() as Monitor | null)
      .filter((object) => /^(Service|Pod)Monitor$/.test(object?.kind ?? ""));
    expect(monitors.map((monitor) => monitor!.kind).sort()).toEqual(["PodMonitor", "ServiceMonitor"]);
    for (const monitor of monitors)
      for (const { relabelings } of [...(monitor!.spec.endpoints ?? []), ...(monitor!.spec.podMetricsEndpoints ?? [])])
        expect(relabelings.slice(0, 2)).toEqual([
          { targetLabel: "job", replacement: "lathe" },
          expect.objectContaining({ targetLabel: "service" }),
        ]);
  });
});

const mutations: readonly (readonly [string, Group])[] = [
  ...EXPRESSIONS.map(([alert, from, to]) => {
    const group = changed(alert, (rule) => (rule.expr = rule.expr.replaceAll(from, to)));
    return [`${alert}: ${from} becomes ${to || "nothing"}`, group] as const;
  }),
  ...names.flatMap((alert) => [
    [`${alert} fires at once`, changed(alert, (rule) => (rule.for = "0s"))] as const,
    [`${alert} fires late`, changed(alert, (rule) => (rule.for = "5h"))] as const,
    [`${alert} is of another severity`, changed(alert, (rule) => (rule.labels = { severity: "info" }))] as const,
  ]),
  ["errors: Internal does not count", replaced("|Internal|", "|")],
  ["errors: what the caller did wrong counts", replaced("Unknown|", "Unknown|InvalidArgument|")],
  ["errors: health checks count", replaced('grpc_service=~"lathe.+"', 'grpc_service=~".+"')],
];

describe("promtool", () => {
  itWith("promtool")("finds nothing wrong with the rules and with prometheus.yaml", () => {
    expect(promtool(["check", "rules", file])).toMatchObject({ status: 0 });
    expect(promtool(["check", "config", join(__dirname, "prometheus.yaml")])).toMatchObject({ status: 0 });
  });

  itWith("promtool")("sees each alert fire and be quiet", () => {
    expect(promtool(["test", "rules", ...groups.map(testsOf)])).toMatchObject({ status: 0 });
    // Also alone, as the changes below are tried.
    const alone = groups.map((group) => written(group, group.name).tests);
    expect(promtool(["test", "rules", ...alone])).toMatchObject({ status: 0 });
  });

  it("has a change for each alert, and each changes something", () => {
    expect([...new Set(EXPRESSIONS.map(([alert]) => alert))].sort()).toEqual([...names].sort());
    const same = mutations.filter(([, group]) => groups.some((each) => stringify(each) === stringify(group)));
    expect(same.map(([what]) => what)).toEqual([]);
  });

  itWith("promtool")(
    "sees by the tests each change of a rule",
    () => {
      const files = mutations.map(([what, group], index) => ({ what, ...written(group, String(index)) }));
      // Rules that cannot be read are no rules whose tests fail.
      expect(promtool(["check", "rules", ...files.map(({ rules }) => rules)])).toMatchObject({ status: 0 });
      const missed = files.filter(({ tests }) => promtool(["test", "rules", tests]).status !== 1);
      expect(missed.map(({ what }) => what)).toEqual([]);
    },
    240_000,
  );
});
