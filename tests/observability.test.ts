import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { boards } from "../deploy/grafana/boards/boards";
import { lastLines, startChild, type Child } from "../cli/stack/child";
import { startGuard, type Guard } from "../cli/stack/guard";
import { SERVICES } from "../cli/stack/stack";
import { createMetrics } from "../shared/process/metrics";
import { LatencyServiceClient, ProfileNetworkRequest } from "../shared/proto/lathe/v1/latency";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { CostMetric } from "../shared/proto/lathe/v1/space";
import { DatasetKind, HealthPolicy, HealthSpec, SearchSpec } from "../shared/proto/lathe/v1/spec";
import { certificateExpiry } from "../shared/rpc/metrics";
import { connect } from "../shared/rpc/client";
import { makeCertificates } from "../shared/testing/certificates";
import { isOnPath, itWith, promtool, selectorsOf } from "../shared/testing/prometheus";
import { until } from "../shared/testing/until";
import { System } from "./system";

interface Rule {
  record?: string;
  alert?: string;
  expr: string;
}

const ruleFile = join(__dirname, "..", "deploy", "prometheus", "rules", "lathe.yaml");
const rules = (parse(readFileSync(ruleFile, "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const queries = Object.entries(boards).flatMap(([file, { panels, annotations }]) => {
  const drawn = panels as { title: string; targets?: { expr: string }[] }[];
  return [
    ...drawn.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: `${file}: ${title}`, expr }))),
    ...annotations.list.map(({ name, expr }) => ({ where: `${file}: ${name}`, expr })),
  ];
});

/** Metrics that have no values in this run, with the reason. */
const empty: Readonly<Record<string, string>> = {
  DCGM_FI_DEV_GPU_UTIL: "no GPU, no dcgm-exporter",
  DCGM_FI_DEV_FB_USED: "no GPU, no dcgm-exporter",
  DCGM_FI_DEV_FB_FREE: "no GPU, no dcgm-exporter",
  nas_tls_certificate_expiry_timestamp_seconds: "a local stack has no TLS",
};

/** A tiny search with measured operators, shrinking, an alarm and retraining. */
const spec = SearchSpec.fromPartial({
  preset: "tiny",
  dataset: { kind: DatasetKind.DATASET_KIND_STREETS, trainExamples: 64, validationExamples: 16 },
  training: { epochs: 6, warmupEpochs: 1, alphaLearningRate: 0.5 },
  shrinking: { firstEpoch: 2 },
  cost: { metric: CostMetric.COST_METRIC_LATENCY, target: 0.99 },
  retraining: { epochs: 2, pyramidChannels: 4 },
  profiling: { warmupRuns: 1, timedRuns: 5, threads: 1 },
  health: HealthSpec.fromPartial({
    ...{ graceEpochs: 0, maxClassShare: 1, maxGradientNorm: 1e-6, onGradientNorm: HealthPolicy.HEALTH_POLICY_REPORT },
  }),
  seed: 7,
});

let system: System;
let guard: Guard;
let prometheus: Child;
let url = "";
let searchId = "";
let start = 0;
let end = 0;

const withPrometheus = isOnPath("prometheus");

beforeAll(async () => {
  if (!withPrometheus) return;
  system = await System.start();
  guard = startGuard();
  const folder = join(system.stack.folder, "prometheus");
  mkdirSync(folder);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  writeFileSync(
    join(folder, "prometheus.yaml"),
    stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: [ruleFile, join(folder, "always.yaml")],
      scrape_configs: [
        {
          job_name: "lathe",
          static_configs: SERVICES.map((name) => ({
            targets: [system.stack.addresses()[name].http],
            labels: { service: name },
          })),
        },
      ],
    }),
  );
  // As on the panel of alerts: no alert of Lathe fires during a successful search.
  const always = { alert: "LatheAlways", expr: "vector(1)", labels: { severity: "warning" } };
  writeFileSync(join(folder, "always.yaml"), stringify({ groups: [{ name: "always", rules: [always] }] }));
  const log = join(folder, "log");
  prometheus = startChild({
    ...{ name: "prometheus", command: "prometheus", log, guard },
    args: [
      ...[`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/data`],
      `--web.listen-address=127.0.0.1:${port}`,
    ],
  });
  await until(
    async () => {
      if (!prometheus.running) throw new Error(`prometheus ended: ${lastLines(log)}`);
      const { data } = await ask<{ activeTargets: { health: string }[] }>("targets", {}).catch(() => ({ data: null }));
      return data?.activeTargets.filter(({ health }) => health === "up").length;
    },
    (up) => up === SERVICES.length,
  );
  start = Date.now() / 1000;
  searchId = await system.begin(spec);
  // A call that fails because of a bad request.
  await system.search.api.getSearch({ searchId: "s-unknown" }).catch(() => undefined);
  const search = await system.ended(searchId);
  expect(SearchState[search.state]).toBe("SEARCH_STATE_SUCCEEDED");
  // A second measurement, because a rate needs two samples.
  const latency = connect(LatencyServiceClient, system.stack.addresses().latency.grpc);
  const network = search.artifacts.find(({ kind }) => kind === "network.onnx")!;
  await scrapedTwice();
  const { profiling } = spec;
  await latency.api.profileNetwork(ProfileNetworkRequest.fromPartial({ searchId, object: network.object, profiling }));
  latency.close();
  await scrapedTwice();
  end = Date.now() / 1000;
});

afterAll(async () => {
  await prometheus?.stop(5_000);
  await guard?.stop();
  await system?.stop();
});

/** Resolves once Prometheus has scraped every service twice from now on: a rate needs two samples. */
async function scrapedTwice(): Promise<void> {
  for (let scrape = 0; scrape < 2; scrape++) {
    const now = Date.now() / 1000;
    await until(lastScrape, (time) => time > now);
  }
}

/** Unix time in seconds of the oldest last scrape over all services. */
async function lastScrape(): Promise<number> {
  const { data } = await ask<{ result: { value: [number, string] }[] }>("query", { query: "min(timestamp(up))" });
  return Number(data.result[0]?.value[1] ?? 0);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ask<T>(endpoint: string, parameters: Record<string, string>): Promise<{ data: T }> {
  const answer = await fetch(`${url}/api/v1/${endpoint}?${new URLSearchParams(parameters).toString()}`);
  const body = (await answer.json()) as { status: string; error?: string; data: T };
  if (body.status !== "success") throw new Error(`${JSON.stringify(parameters)}: ${body.error}`);
  return body;
}

/** Finite values of an expression over the run, with the variables of Grafana set. */
async function values(expr: string): Promise<number> {
  const query = expr
    .replaceAll("$__rate_interval", "10s")
    .replaceAll("$__range", `${Math.ceil(end - start)}s`)
    .replaceAll("$search", searchId);
  const range = { query, start: String(start), end: String(end), step: "1" };
  const { data } = await ask<{ result: { values: [number, string][] }[] }>("query_range", range);
  return data.result.flatMap((series) => series.values).filter(([, value]) => Number.isFinite(Number(value))).length;
}

const hasNone = (expr: string) => selectorsOf(expr).some(({ metric }) => metric in empty);

describe("Prometheus beside a search", () => {
  itWith("prometheus")("answers every query of every board with data", async () => {
    const silent: string[] = [];
    for (const { where, expr } of queries.filter(({ expr }) => !hasNone(expr)))
      if ((await values(expr)) === 0) silent.push(`${where}: ${expr}`);
    expect(silent).toEqual([]);
  });

  itWith("prometheus")(
    "evaluates every rule, records what is to be recorded, and has data behind every alert",
    async () => {
      const { data } = await ask<{ groups: { rules: { name: string; health: string; lastError?: string }[] }[] }>(
        "rules",
        {},
      );
      const evaluated = data.groups.flatMap((group) => group.rules).filter(({ name }) => name !== "LatheAlways");
      expect(evaluated).toHaveLength(rules.length);
      expect(evaluated.filter(({ health }) => health !== "ok")).toEqual([]);
      const silent: string[] = [];
      for (const { record, expr } of rules)
        for (const selector of [record ?? expr, expr].flatMap(selectorsOf).filter(({ metric }) => !(metric in empty)))
          if ((await values(selector.text)) === 0) silent.push(selector.text);
      expect(silent).toEqual([]);
    },
  );

  itWith("prometheus")("fires no alert in a search that goes well", async () => {
    expect(await values('ALERTS{alertname!="LatheAlways",alertstate="firing"}')).toBe(0);
  });

  itWith("prometheus")(
    "has nothing to say where it is told so, of metrics that are registered or foreign",
    async () => {
      for (const metric of Object.keys(empty)) expect([metric, await values(metric)]).toEqual([metric, 0]);
      const metrics = createMetrics();
      certificateExpiry(metrics, makeCertificates().server.cert);
      const registered = metrics.registry.getMetricsAsArray().map(({ name }) => name);
      expect(Object.keys(empty).filter((name) => name.startsWith("nas_") && !registered.includes(name))).toEqual([]);
    },
  );

  itWith("prometheus")("scrapes metrics that promtool finds nothing wrong with", async () => {
    for (const name of SERVICES) {
      const answer = await fetch(`http://${system.stack.addresses()[name].http}/metrics`);
      expect([name, promtool(["check", "metrics"], await answer.text())]).toEqual([name, { status: 0, text: "" }]);
    }
  });
});
