import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { parseDockerfile } from "../image/dockerfile";
import { SERVICE_RULES, lintCompose, overlaid, type ComposeFile, type ComposeService } from "./rules";

const read = (file: string) => readFileSync(join(__dirname, "..", "..", file), "utf8");
const dockerfile = parseDockerfile(read("Dockerfile"));
const compose = () => parse(read("compose.yaml"), { merge: true }) as ComposeFile;

it("the files keep the rules, alone and merged", () => {
  const over = parse(read("compose.gpu.yaml"), { merge: true }) as ComposeFile;
  expect(lintCompose(compose(), dockerfile)).toEqual([]);
  const both = overlaid(compose(), over);
  expect(lintCompose(both, dockerfile)).toEqual([]);
  expect(both.services.supernet).toMatchObject({
    image: "lathe:local-gpu",
    build: { dockerfile: "deploy/Dockerfile", target: "gpu" },
    environment: { LATHE_PROVIDER: "cuda", LATHE_ENGINE: "onnxruntime" },
  });
});

const BREAKS: [rule: string, service: string, change: object, fault: RegExp][] = [
  ["known keys", "search", { restarts: "always" }, /search: key restarts is not allowed/],
  ["an image with a version, or one that is built", "grafana", { image: "grafana/grafana:latest" }, /has no version/],
  ["builds a target that exists", "search", { build: { target: "main" } }, /builds target main/],
  ["ports are published only on loopback", "search", { ports: ["50051:50051"] }, /publishes 50051:50051/],
  ["starts again", "search", { restart: "no" }, /restart is no/],
  ["tells its health", "prometheus", { healthcheck: undefined }, /has no health check/],
  ["waits for services with a health check", "search", { depends_on: { bus: {} } }, /bus, which is not a service/],
  ["waits for services with a health check", "search", { depends_on: { nats: {} } }, /not until it is healthy/],
  ["health checks use known keys", "nats", { healthcheck: { test: ["CMD-SHELL", "x"] } }, /in a shell/],
  [
    "health checks use known keys",
    "nats",
    { healthcheck: { test: ["CMD"], interval: "5" } },
    /interval is not a duration/,
  ],
  ["our images run with the restrictions of the chart", "search", { read_only: false }, /writes to its image/],
  ["our images run with the restrictions of the chart", "search", { cap_drop: [] }, /keeps capabilities/],
  ["the stop grace period exceeds the shutdown time", "search", { stop_grace_period: "60s" }, /has 60s to stop/],
  ["no secret in the file", "grafana", { environment: { GF_SECURITY_ADMIN_PASSWORD: "x" } }, /sets GF_SECURITY/],
  ["named volumes are declared", "nats", { volumes: ["store:/data"] }, /mounts store, which is not a volume/],
  ["files of the repository are mounted read-only", "supernet", { volumes: ["../data:/data"] }, /may write to/],
  ["NATS keeps its store", "nats", { volumes: [] }, /its store is on no volume/],
];

it.each(BREAKS)("the rule '%s' finds a change of %s to %j", (rule, name, change, fault) => {
  const file = compose();
  const service = file.services[name] as ComposeService;
  Object.assign(service, change);
  expect(
    SERVICE_RULES[rule]!(service, file, dockerfile)
      .map((found) => `${name}: ${found}`)
      .join("\n"),
  ).toMatch(fault);
});

it("each rule finds a change, and an unknown key of the file is found", () => {
  expect([...new Set(BREAKS.map(([rule]) => rule))].sort()).toEqual(Object.keys(SERVICE_RULES).sort());
  expect(lintCompose({ ...compose(), secrets: {} } as ComposeFile, dockerfile)).toEqual(["key secrets is not allowed"]);
});
