import type { Dockerfile } from "../image/dockerfile";

/** The allowed keys of a compose service. Other keys are faults, because compose silently ignores some of them. */
const KEYS = new Set([
  ...["image", "build", "command", "environment", "volumes", "tmpfs", "ports", "depends_on", "healthcheck", "restart"],
  ...["init", "read_only", "cap_drop", "security_opt", "stop_grace_period", "deploy", "profiles"],
]);
const TOP = new Set(["name", "services", "volumes"]);
const HEALTH = new Set(["test", "interval", "timeout", "retries", "start_period"]);
const DURATION = /^(\d+(ms|s|m|h))+$/;
const SECRET = /(PASSWORD|SECRET|TOKEN|PRIVATE_KEY|API_KEY)/;

export interface ComposeService {
  image?: string;
  build?: { context?: string; dockerfile?: string; target?: string };
  command?: string[];
  environment?: Record<string, string | number>;
  volumes?: string[];
  ports?: string[];
  depends_on?: Record<string, { condition?: string }>;
  healthcheck?: { [key: string]: string | number | string[] | undefined; test?: string[] };
  restart?: string;
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  stop_grace_period?: string;
}

export interface ComposeFile {
  services: Record<string, ComposeService>;
  volumes?: Record<string, unknown>;
}

type Rule = (service: ComposeService, file: ComposeFile, dockerfile: Dockerfile) => string[];

const when = (fault: boolean, what: string) => (fault ? [what] : []);

/** Whether a service has a health check, of its own or of its image. */
const tellsHealth = ({ healthcheck, build }: ComposeService, { stages }: Dockerfile) =>
  healthcheck?.test !== undefined ||
  (build !== undefined &&
    stages.some(
      ({ name, instructions }) => name === build.target && instructions.some((one) => one.name === "HEALTHCHECK"),
    ));

/** The rules of each service, by name. */
export const SERVICE_RULES: Readonly<Record<string, Rule>> = {
  "known keys": (service) =>
    Object.keys(service)
      .filter((key) => !KEYS.has(key))
      .map((key) => `key ${key} is not allowed`),
  "an image with a version, or one that is built": ({ image, build }) =>
    when(!build && !/:v?\d+\.\d+/.test(image ?? ""), `image ${image} has no version`),
  "builds a target that exists": ({ build }, _, { stages }) =>
    when(build !== undefined && !stages.some(({ name }) => name === build.target), `builds target ${build?.target}`),
  "ports are published only on loopback": ({ ports = [] }) =>
    ports.filter((port) => !port.startsWith("127.0.0.1:")).map((port) => `publishes ${port} to the network`),
  "starts again": ({ restart }) => when(restart !== "unless-stopped", `restart is ${restart}`),
  "tells its health": (service, _, dockerfile) => when(!tellsHealth(service, dockerfile), "has no health check"),
  "waits for services with a health check": ({ depends_on = {} }, { services }, dockerfile) =>
    Object.entries(depends_on).flatMap(([name, { condition }]) => {
      const other = services[name];
      if (!other) return [`waits for ${name}, which is not a service`];
      return when(
        condition !== "service_healthy" || !tellsHealth(other, dockerfile),
        `waits for ${name}, but not until it is healthy`,
      );
    }),
  "health checks use known keys": ({ healthcheck = {} }) => [
    ...Object.keys(healthcheck)
      .filter((key) => !HEALTH.has(key))
      .map((key) => `healthcheck.${key} is unknown`),
    ...["interval", "timeout", "start_period"]
      .filter((key) => healthcheck[key] !== undefined && !DURATION.test(String(healthcheck[key])))
      .map((key) => `healthcheck.${key} is not a duration`),
    ...when(healthcheck.test !== undefined && healthcheck.test[0] !== "CMD", "its health check runs in a shell"),
  ],
  "our images run with the restrictions of the chart": ({ build, read_only, cap_drop = [], security_opt = [] }) =>
    build === undefined
      ? []
      : [
          ...when(read_only !== true, "writes to its image"),
          ...when(!cap_drop.includes("ALL"), "keeps capabilities"),
          ...when(!security_opt.includes("no-new-privileges:true"), "may gain privileges"),
        ],
  "the stop grace period exceeds the shutdown time": ({ environment = {}, stop_grace_period = "10s" }) => {
    const grace = Number(/^(\d+)s$/.exec(String(environment.LATHE_SHUTDOWN_GRACE ?? "0s"))?.[1]);
    return when(
      2 * grace >= Number(/^(\d+)s$/.exec(stop_grace_period)?.[1]) && grace > 0,
      `has ${stop_grace_period} to stop`,
    );
  },
  "no secret in the file": ({ environment = {} }) =>
    Object.entries(environment)
      .filter(([name, value]) => SECRET.test(name) && !name.endsWith("_FILE") && value !== "")
      .map(([name]) => `sets ${name}`),
  "named volumes are declared": ({ volumes = [] }, file) =>
    volumes
      .map((volume) => volume.split(":")[0] ?? "")
      .filter((source) => /^\w/.test(source) && !(source in (file.volumes ?? {})))
      .map((source) => `mounts ${source}, which is not a volume`),
  "files of the repository are mounted read-only": ({ volumes = [] }) =>
    volumes
      .filter((volume) => /^(\.|\$)/.test(volume) && !volume.endsWith(":ro"))
      .map((volume) => `may write to ${volume}`),
  "NATS keeps its store": ({ command = [], volumes = [] }) => {
    const at = command.indexOf("--store_dir");
    if (!command.includes("--jetstream")) return [];
    return when(
      at < 0 || !volumes.some((volume) => volume.split(":")[1] === command[at + 1]),
      "its store is on no volume",
    );
  },
};

/** The faults of a compose file, one per line. */
export function lintCompose(file: ComposeFile, dockerfile: Dockerfile): string[] {
  const top = Object.keys(file).filter((key) => !TOP.has(key) && !key.startsWith("x-"));
  return [
    ...top.map((key) => `key ${key} is not allowed`),
    ...Object.entries(file.services).flatMap(([name, service]) =>
      Object.values(SERVICE_RULES).flatMap((rule) =>
        rule(service, file, dockerfile).map((fault) => `${name}: ${fault}`),
      ),
    ),
  ];
}

/** Merges two files as `docker compose -f ... -f ...` does: maps by key, lists and strings replaced or appended. */
export function overlaid(file: ComposeFile, over: ComposeFile): ComposeFile {
  const merge = (a: unknown, b: unknown): unknown => {
    if (Array.isArray(a) && Array.isArray(b)) return [...(a as unknown[]), ...(b as unknown[])];
    if (!isMap(a) || !isMap(b)) return b;
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return Object.fromEntries(
      keys.map((key) => [key, key in b ? (key in a ? merge(a[key], b[key]) : b[key]) : a[key]]),
    );
  };
  return merge(file, over) as ComposeFile;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
