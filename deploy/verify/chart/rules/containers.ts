import { parse } from "yaml";
import { quantity } from "../objects";
import { ofContainers, ofPods, unless, type Rule } from "./rule";

const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

/** Rules for the environment, mounts, resources and probes of containers. */
export const containerRules: Rule[] = [
  ofContainers("probes use a port of their container", (container) =>
    PROBES.flatMap((kind) => {
      const port = container[kind]?.httpGet?.port;
      if (port === undefined) return [];
      const known = container.ports?.some(({ name, containerPort }) => name === port || containerPort === port);
      return known ? [] : [`${kind} uses port ${port}, which the container does not have`];
    }),
  ),
  ofContainers("what serves is probed", (container) =>
    PROBES.flatMap((kind) => unless(!container.ports || container[kind] !== undefined, `has no ${kind}`)),
  ),
  ofContainers(
    "requests and limits are quantities, memory has a limit, and no request exceeds its limit",
    ({ resources = {} }) => {
      const { requests = {}, limits = {} } = resources;
      const none = [...Object.entries(requests), ...Object.entries(limits)]
        .filter(([, amount]) => Number.isNaN(quantity(amount)))
        .map(([name, amount]) => `${name} is "${amount}", which is not a quantity`);
      const over = Object.entries(requests)
        .filter(([name, amount]) => limits[name] !== undefined && quantity(amount) > quantity(limits[name]))
        .map(([name, amount]) => `requests ${amount} of ${name}, more than its limit ${limits[name]}`);
      return [...none, ...over, ...unless(limits.memory !== undefined, "has no limit of memory")];
    },
  ),
  ofContainers("device counts are integers, and their request equals their limit", ({ resources = {} }) => {
    const { requests = {}, limits = {} } = resources;
    const devices = Object.keys({ ...requests, ...limits }).filter((name) => name.includes("/"));
    return devices.flatMap((name) => [
      ...unless(limits[name] !== undefined, `requests ${name} without a limit`),
      ...unless(Number.isInteger(quantity(limits[name] ?? 0)), `has ${limits[name]} of ${name}`),
      ...unless(
        requests[name] === undefined || String(requests[name]) === String(limits[name]),
        `requests ${requests[name]} of ${name}, its limit is ${limits[name]}`,
      ),
    ]);
  }),
  ofContainers("a variable is set once", ({ env = [] }) =>
    env
      .filter(({ name }, at) => env.findIndex((other) => other.name === name) !== at)
      .map(({ name }) => `sets ${name} twice`),
  ),
  ofPods("every mount has a volume and every volume a mount", ({ spec }, { objects }) => {
    const claims = objects.flatMap(({ kind }) => (kind === "StatefulSet" ? ["data"] : []));
    const volumes = (spec.volumes ?? []).map(({ name }) => name);
    const mounts = spec.containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name));
    return [
      ...mounts
        .filter((name) => !volumes.includes(name) && !claims.includes(name))
        .map((name) => `mounts ${name}, which is not a volume`),
      ...volumes.filter((name) => !mounts.includes(name)).map((name) => `has volume ${name}, which nothing mounts`),
    ];
  }),
  ofPods("mounted secrets and claims are named in the values", ({ spec }, { values }) => {
    const named = texts(parse(values));
    return (spec.volumes ?? [])
      .flatMap(({ secret, persistentVolumeClaim: claim }) => [
        ...(secret ? [["secret", secret.secretName]] : []),
        ...(claim ? [["claim", claim.claimName]] : []),
      ])
      .filter(([, name = ""]) => !named.includes(name))
      .map(([kind, name]) => `mounts ${kind} ${name}, which no value names`);
  }),
  ofPods("the grace period of a pod exceeds the shutdown time of its process", ({ spec }) => {
    const grace = spec.containers.flatMap(({ env = [] }) => env.filter(({ name }) => name === "LATHE_SHUTDOWN_GRACE"));
    const needed = 2 * Number(/^(\d+)s$/.exec(grace[0]?.value ?? "0s")?.[1]);
    const given = spec.terminationGracePeriodSeconds ?? 30;
    return given > needed ? [] : [`has ${given} s to stop, its process takes up to ${needed} s`];
  }),
];

/** All strings within a value. */
function texts(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(texts) : [];
}
