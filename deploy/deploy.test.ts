import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { schema as discretization } from "../services/discretization/config";
import { schema as latency } from "../services/latency/config";
import { schema as search } from "../services/search/config";
import { schema as supernet } from "../services/supernet/config";
import { baseSchema, read as readSettings } from "../shared/process/config";
import { SERVICES } from "../cli/stack/stack";

const root = join(__dirname, "..");
const read = (...parts: string[]) => readFileSync(join(root, ...parts), "utf8");
const unique = (found: Iterable<string>) => [...new Set(found)].sort();

const mentioned = (text: string) => unique([...text.matchAll(/\bLATHE_[A-Z_]+\b/g)].map(([name]) => name));

const base = Object.keys(baseSchema.shape);
const schemas = { search, supernet, shrinking: baseSchema, discretization, latency };
const own = Object.fromEntries(
  SERVICES.map((name) => [name, Object.keys(schemas[name].shape).filter((setting) => !base.includes(setting))]),
);
const known = unique([...base, ...Object.values(own).flat()]);

/** The launcher's own way to start and watch its children. */
const local = ["LATHE_READY_FILE", "LATHE_EXIT_WITH_PARENT"];

interface Compose {
  services: Record<string, { command?: string[]; environment?: Record<string, string>; volumes?: string[] }>;
}

const compose = parse(read("deploy/compose.yaml"), { merge: true }) as Compose;

describe("settings", () => {
  it.each(SERVICES)("compose gives %s settings that it reads, and its main.js exists as source", (name) => {
    const service = compose.services[name];
    expect([...base, ...own[name]!]).toEqual(expect.arrayContaining(Object.keys(service?.environment ?? {})));
    expect(service?.command).toEqual([`dist/services/${name}/main.js`]);
    expect(existsSync(join(root, "services", name, "main.ts"))).toBe(true);
  });

  it.each(SERVICES)("%s accepts the settings of compose, and opens data sets only below the mounted folder", (name) => {
    const { environment = {}, volumes = [] } = compose.services[name]!;
    const fixed = Object.entries(environment).filter(([, value]) => !value.startsWith("$"));
    const { LATHE_DATA_FOLDER: folders } = readSettings(schemas[name], Object.fromEntries(fixed)) as {
      LATHE_DATA_FOLDER?: string[];
    };
    expect(folders ?? []).toEqual(volumes.map((volume) => /:([^:]+):ro$/.exec(volume)?.[1]));
  });

  it("compose sets or leaves at its default each setting of the code", () => {
    const leftAlone = [
      // One network, closed to the outside, without TLS or tokens.
      ...["LATHE_NATS_CREDS", "LATHE_NATS_TLS_CA_FILE", "LATHE_NATS_TLS_CERT_FILE", "LATHE_NATS_TLS_KEY_FILE"],
      ...["LATHE_TLS_CERT_FILE", "LATHE_TLS_KEY_FILE", "LATHE_TLS_CA_FILE", "LATHE_AUTH_TOKEN_FILE"],
      // All cores and all memory of the machine; a minute; no end.
      ...["LATHE_THREADS", "LATHE_TRAINING_MEMORY", "LATHE_LEASE", "LATHE_JOBS", "LATHE_MAX_SEARCHES"],
      // A folder for decoded images is a choice of the operator.
      ...["LATHE_DATA_CACHE", "LATHE_DATA_CACHE_SIZE"],
      // All services share the machine, so the others stand still during a measurement.
      "LATHE_PROFILING_ALONE",
      ...local,
    ];
    const set = Object.values(compose.services).flatMap(({ environment = {} }) => Object.keys(environment));
    expect(unique([...set.filter((name) => name.startsWith("LATHE_")), ...leftAlone])).toEqual(known);
  });

  it("the chart can set each setting of the code and no other", () => {
    const folder = "helm/lathe/templates";
    const templates = readdirSync(join(root, folder)).filter((file) => /\.(tpl|yaml)$/.test(file));
    const texts = templates.map((file) => read(folder, file));
    expect(unique([...mentioned(texts.join("\n")), ...local])).toEqual(known);
  });

  it.each(SERVICES)("the chart gives %s its own settings", (name) => {
    const inTemplate = mentioned(read("helm/lathe/templates", `${name}.yaml`));
    expect(inTemplate).toEqual(unique(own[name]!));
  });

  it("the documentation lists each setting and no other", () => {
    const table = [...read("docs/develop.md").matchAll(/^\| `(LATHE_[A-Z_]+)`/gm)].map(([, name = ""]) => name);
    expect(unique(table)).toEqual(unique([...known, "LATHE_ADDRESS"]));
  });
});

test("the schema of the chart knows each value, and no other", () => {
  type Schema = { properties?: Record<string, Schema>; $ref?: string; additionalProperties?: unknown };
  const schema = JSON.parse(read("helm/lathe/values.schema.json")) as Schema & { definitions: Record<string, Schema> };
  const faults: string[] = [];
  const compare = (value: unknown, at: Schema | undefined, path: string): void => {
    const node = at?.$ref === undefined ? at : schema.definitions[at.$ref.replace("#/definitions/", "")];
    if (!node) faults.push(`${path} is not in the schema`);
    if (!node?.properties || typeof value !== "object" || value === null) return;
    if (node.additionalProperties !== false) faults.push(`${path} takes any key`);
    const names = unique([...Object.keys(value), ...Object.keys(node.properties)]).filter((name) => name !== "global");
    for (const name of names) {
      if (!(name in value)) faults.push(`${path}.${name} is not in values.yaml`);
      else compare((value as Record<string, unknown>)[name], node.properties[name], `${path}.${name}`);
    }
  };
  compare(parse(read("helm/lathe/values.yaml")), schema, "values");
  expect(faults).toEqual([]);
});

test("chart, package and changelog have one version", () => {
  const { version } = JSON.parse(read("package.json")) as { version: string };
  const chart = parse(read("helm/lathe/Chart.yaml")) as { version: string; appVersion: string };
  expect([chart.version, chart.appVersion]).toEqual([version, version]);
  expect(read("CHANGELOG.md")).toContain(`## [${version}]`);
});

test("compose mounts files that exist", () => {
  const sources = Object.values(compose.services).flatMap(({ volumes = [] }) =>
    volumes.map((one) => one.split(":")[0]!),
  );
  const files = sources.filter((source) => source.startsWith("./"));
  expect(files.length).toBeGreaterThan(2);
  for (const file of files) expect([file, existsSync(join(__dirname, file))]).toEqual([file, true]);
});

test("Prometheus scrapes each service where compose runs it", () => {
  const { scrape_configs } = parse(read("deploy/prometheus/prometheus.yaml")) as {
    scrape_configs: { static_configs: { targets: string[]; labels: { service: string } }[] }[];
  };
  const targets = scrape_configs.flatMap(({ static_configs }) => static_configs);
  const expected = SERVICES.map((name) => ({
    targets: [`${name}:${compose.services[name]?.environment?.["LATHE_HTTP_PORT"]}`],
    labels: { service: name },
  }));
  expect(targets).toEqual(expected);
});
