import { matches, podsOf, titleOf, type KubeObject, type Labels, type PodOf } from "../objects";
import { ofKind, unless, type Rule } from "./rule";

/** Rules for the network policies of a release that has them. */
export const networkRules: Rule[] = [
  {
    name: "network policies cover ingress and egress of each pod",
    faults: ({ objects }) => {
      const policies = ofKind(objects, "NetworkPolicy");
      if (policies.length === 0) return [];
      return podsOf(objects).flatMap((pod) =>
        ["Ingress", "Egress"].flatMap((type) => {
          const covered = of(policies, pod.labels).some(({ spec }) => spec?.policyTypes?.includes(type));
          return unless(covered, `${pod.of}: no policy of type ${type}`);
        }),
      );
    },
  },
  {
    name: "network policies allow what the services need and reject other pods",
    faults: ({ objects }) => {
      const policies = ofKind(objects, "NetworkPolicy");
      if (policies.length === 0) return [];
      const pods = podsOf(objects);
      const nats = pods.filter(({ labels }) => labels["app.kubernetes.io/component"] === "nats");
      const others = pods.filter((pod) => !nats.includes(pod));
      const faults = others.flatMap((pod) => [
        ...nats.filter((target) => !reaches(policies, pod, target, 4222)).map(() => `${pod.of}: does not reach NATS`),
        ...unless(opens(policies, pod, 53), `${pod.of}: does not reach DNS`),
        ...unless(
          otlpPort(pod) === undefined || opens(policies, pod, otlpPort(pod)!),
          `${pod.of}: does not reach the collector`,
        ),
      ]);
      const stranger = { of: "a stranger", labels: {}, test: false, spec: others[0]!.spec };
      const open = pods.flatMap((pod) =>
        portsOf(pod)
          .filter((port) => allows(policies, "ingress", pod.labels, stranger.labels, port))
          .map((port) => `${pod.of}: accepts other pods on port ${port}`),
      );
      const calls = pods
        .filter(({ test }) => test)
        .flatMap((test) =>
          others
            .filter((pod) => !pod.test && portsOf(pod).length > 0 && !reaches(policies, test, pod, portsOf(pod)[0]!))
            .map((pod) => `${test.of}: does not reach ${pod.of}`),
        );
      return [...faults, ...open, ...calls];
    },
  },
  {
    name: "helm tests call Services of the release",
    faults: ({ objects }) =>
      ofKind(objects, "Pod").flatMap((pod) =>
        (pod.spec?.containers ?? [])
          .flatMap(({ args = [] }) => args.slice(2))
          .filter((address) => {
            const [host, port] = address.split(":");
            return !ofKind(objects, "Service").some(
              ({ metadata, spec }) => metadata.name === host && spec?.ports?.some((own) => String(own.port) === port),
            );
          })
          .map((address) => `${titleOf(pod)}: calls ${address}, which is not the address of a Service`),
      ),
  },
];

const of = (policies: readonly KubeObject[], labels: Labels) =>
  policies.filter(({ spec }) => matches(spec?.podSelector ?? {}, labels));

const portsOf = ({ spec }: PodOf) =>
  spec.containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));

/** The port of the trace collector of a pod; undefined without traces. */
function otlpPort({ spec }: PodOf): number | undefined {
  const endpoint = spec.containers[0]?.env?.find(({ name }) => name === "LATHE_OTLP_ENDPOINT")?.value;
  if (endpoint === undefined) return undefined;
  const { port, protocol } = new URL(endpoint);
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}

/** Whether a policy of a pod allows traffic on a port to or from a pod with the other labels in the same namespace. */
function allows(
  policies: readonly KubeObject[],
  direction: "ingress" | "egress",
  labels: Labels,
  other: Labels,
  port: number,
): boolean {
  return of(policies, labels).some(({ spec }) =>
    (spec?.[direction] ?? []).some((rule) => {
      const peers = "from" in rule ? rule.from : "to" in rule ? rule.to : undefined;
      const byPeer =
        peers === undefined ||
        peers.some(
          ({ podSelector, namespaceSelector, ipBlock }) =>
            !namespaceSelector && !ipBlock && podSelector !== undefined && matches(podSelector, other),
        );
      return byPeer && (rule.ports === undefined || rule.ports.some((own) => own.port === port));
    }),
  );
}

const reaches = (policies: readonly KubeObject[], from: PodOf, to: PodOf, port: number) =>
  allows(policies, "egress", from.labels, to.labels, port) && allows(policies, "ingress", to.labels, from.labels, port);

/** Whether a pod may send to a port of any address. */
const opens = (policies: readonly KubeObject[], { labels }: PodOf, port: number) =>
  of(policies, labels).some(({ spec }) => spec?.egress?.some(({ ports }) => ports?.some((own) => own.port === port)));
