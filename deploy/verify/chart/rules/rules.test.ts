import { RULES } from ".";
import { golden } from "../golden";
import { cases, valuesOf } from "../helm";
import { podsOf, titleOf, type KubeObject, type PodOf, type Rendering } from "../objects";

const rendered = (name: string): Rendering => ({
  name,
  values: valuesOf(name),
  objects: structuredClone(golden(name) ?? []),
});

it.each(cases())("the snapshot of ci/%s.yaml keeps every rule", (name) => {
  const rendering = rendered(name);
  expect(rendering.objects.length).toBeGreaterThan(10);
  expect(RULES.flatMap((rule) => rule.faults(rendering))).toEqual([]);
});

interface Break {
  rule: string;
  of: string;
  change: (find: (title: string) => KubeObject, pod: (of: string) => PodOf, objects: KubeObject[]) => void;
  fault: RegExp;
}

const search = "Deployment/lathe-search";

/** One change of a good rendering for each thing that a rule looks at. */
const BREAKS: Break[] = [
  {
    rule: "names are DNS labels",
    of: "min",
    change: (find) => (find("Service/lathe-search").metadata.name = "lathe_search"),
    fault: /lathe_search: is not a DNS label/,
  },
  {
    rule: "names are DNS labels",
    of: "min",
    change: (find, _, objects) => objects.push(find(search)),
    fault: /is there twice/,
  },
  {
    rule: "workloads select only their own",
    of: "min",
    change: (_, pod) => (pod(search).labels["app.kubernetes.io/component"] = "other"),
    fault: /does not select its own pods/,
  },
  {
    rule: "workloads select only their own",
    of: "mig",
    change: (find) => delete find("Deployment/lathe-latency-t4").spec!.selector!.matchLabels!["lathe/target"],
    fault: /lathe-latency-t4: also selects the pods of Deployment\/lathe-latency-cpu/,
  },
  {
    rule: "Services select pods",
    of: "min",
    change: (find) => (find("Service/lathe-search").spec!.selector!["app.kubernetes.io/component"] = "serch"),
    fault: /lathe-search: selects no pod/,
  },
  {
    rule: "Services select pods",
    of: "min",
    change: (find) => (find("Service/lathe-search").spec!.ports![0]!.targetPort = "rpc"),
    fault: /port grpc leads to rpc/,
  },
  {
    rule: "StatefulSets name",
    of: "min",
    change: (find) => (find("StatefulSet/lathe-nats").spec!.serviceName = "nats"),
    fault: /serviceName nats is not a Service/,
  },
  {
    rule: "disruption budgets",
    of: "mig",
    change: (find) => (find("PodDisruptionBudget/lathe-search").spec!.selector!.matchLabels = { app: "search" }),
    fault: /selects no pod/,
  },
  {
    rule: "monitors select",
    of: "monitoring",
    change: (find) => (find("ServiceMonitor/lathe").spec!.endpoints![0]!.port = "metrics"),
    fault: /has no port metrics/,
  },
  {
    rule: "monitors select",
    of: "keda",
    change: (find) => (find("PodMonitor/lathe-supernet").spec!.selector!.matchLabels = { app: "supernet" }),
    fault: /PodMonitor\/lathe-supernet: selects no pod/,
  },
  {
    rule: "probes use a port",
    of: "min",
    change: (_, pod) => (pod(search).spec.containers[0]!.livenessProbe!.httpGet!.port = "health"),
    fault: /livenessProbe uses port health/,
  },
  {
    rule: "what serves is probed",
    of: "min",
    change: (_, pod) => delete pod(search).spec.containers[0]!.startupProbe,
    fault: /has no startupProbe/,
  },
  {
    rule: "requests and limits are",
    of: "min",
    change: (_, pod) => (pod(search).spec.containers[0]!.resources!.requests!.memory = "600Mi"),
    fault: /requests 600Mi of memory, more than its limit 512Mi/,
  },
  {
    rule: "requests and limits are",
    of: "min",
    change: (_, pod) => (pod(search).spec.containers[0]!.resources!.limits!.memory = "half"),
    fault: /"half", which is not a quantity/,
  },
  {
    rule: "device counts are integers",
    of: "keda",
    change: (_, pod) =>
      (pod("ScaledJob/lathe-supernet").spec.containers[0]!.resources!.requests!["nvidia.com/gpu"] = 2),
    fault: /requests 2 of nvidia.com\/gpu, its limit is 1/,
  },
  {
    rule: "device counts are integers",
    of: "keda",
    change: (_, pod) =>
      (pod("ScaledJob/lathe-supernet").spec.containers[0]!.resources!.limits!["nvidia.com/gpu"] = "500m"),
    fault: /has 500m of nvidia.com\/gpu/,
  },
  {
    rule: "a variable is set once",
    of: "min",
    change: (_, pod) => pod(search).spec.containers[0]!.env!.push({ name: "LATHE_LOG_LEVEL", value: "debug" }),
    fault: /sets LATHE_LOG_LEVEL twice/,
  },
  {
    rule: "every mount has a volume",
    of: "min",
    change: (_, pod) => (pod(search).spec.volumes = []),
    fault: /mounts tmp, which is not a volume/,
  },
  {
    rule: "mounted secrets and claims",
    of: "tls",
    change: (_, pod) => (pod(search).spec.volumes!.find(({ secret }) => secret)!.secret!.secretName = "lathe"),
    fault: /mounts secret lathe, which no value names/,
  },
  {
    rule: "the grace period of a pod",
    of: "min",
    change: (_, pod) => (pod(search).spec.terminationGracePeriodSeconds = 30),
    fault: /has 30 s to stop, its process takes up to 60 s/,
  },
  {
    rule: "containers run without",
    of: "min",
    change: (_, pod) => (pod("StatefulSet/lathe-nats").spec.containers[0]!.securityContext!.capabilities!.drop = []),
    fault: /keeps capabilities/,
  },
  {
    rule: "pods run as their own user",
    of: "min",
    change: (_, pod) => pod(search).spec.volumes!.push({ name: "data", hostPath: {} }),
    fault: /mounts a folder of its node as data/,
  },
  {
    rule: "root file systems",
    of: "min",
    change: (_, pod) => (pod(search).spec.containers[0]!.securityContext!.readOnlyRootFilesystem = false),
    fault: /writes to its image/,
  },
  {
    rule: "root file systems",
    of: "min",
    change: (_, pod) => (pod(search).spec.containers[0]!.volumeMounts![0]!.readOnly = true),
    fault: /has no place to write to/,
  },
  {
    rule: "services that open data sets",
    of: "keda",
    change: (_, pod) =>
      (pod("Deployment/lathe-discretization").spec.containers[0]!.env!.find(
        ({ name }) => name === "LATHE_DATA_FOLDER",
      )!.value = "/"),
    fault: /has LATHE_DATA_FOLDER \/, must be \/data/,
  },
  {
    rule: "pods mount no API token",
    of: "min",
    change: (_, pod) => delete pod(search).spec.automountServiceAccountToken,
    fault: /mounts a token/,
  },
  {
    rule: "pods mount no API token",
    of: "min",
    change: (_, pod) => (pod(search).spec.serviceAccountName = "default"),
    fault: /has account default/,
  },
  {
    rule: "network policies cover",
    of: "keda",
    change: (find) => {
      for (const name of ["deny", "services"])
        find(`NetworkPolicy/lathe-${name}`).spec!.podSelector!.matchLabels!["app.kubernetes.io/component"] = "search";
    },
    fault: /ScaledJob\/lathe-supernet: no policy of type Egress/,
  },
  {
    rule: "network policies allow",
    of: "keda",
    change: (find) => (find("NetworkPolicy/lathe-nats").spec!.ingress = []),
    fault: /Deployment\/lathe-search: does not reach NATS/,
  },
  {
    rule: "network policies allow",
    of: "monitoring",
    change: (find) => {
      const policy = find("NetworkPolicy/lathe-services").spec!;
      policy.egress = policy.egress!.filter(({ ports }) => ports?.some(({ port }) => port !== 4318));
    },
    fault: /does not reach the collector/,
  },
  {
    rule: "network policies allow",
    of: "keda",
    change: (find) => find("NetworkPolicy/lathe-services").spec!.ingress!.push({ ports: [{ port: 50051 }] }),
    fault: /Deployment\/lathe-search: accepts other pods on port 50051/,
  },
  {
    rule: "helm tests call",
    of: "min",
    change: (_, pod) => (pod("Pod/lathe-test-health").spec.containers[0]!.args![2] = "search:50051"),
    fault: /calls search:50051, which is not the address/,
  },
  {
    rule: "KEDA scales by",
    of: "external-nats",
    change: (find) => (find("ScaledObject/lathe-supernet").spec!.triggers![0]!.metadata.consumer = "work-training"),
    fault: /uses the queues team-a_WORK\/work-retrain,team-a_WORK\/work-training/,
  },
  {
    rule: "KEDA scales by",
    of: "keda",
    change: (find) => (find("ScaledJob/lathe-supernet").spec!.triggers![0]!.metadata.lagThreshold = 1 as never),
    fault: /lagThreshold is 1, must be "1"/,
  },
  {
    rule: "a ScaledObject scales",
    of: "external-nats",
    change: (find) => (find("Deployment/lathe-supernet").spec!.replicas = 1),
    fault: /sets replicas/,
  },
  {
    rule: "the pod of a Job",
    of: "keda",
    change: (_, pod) => {
      const [container] = pod("ScaledJob/lathe-supernet").spec.containers;
      container!.env = container!.env!.filter(({ name }) => name !== "LATHE_JOBS");
    },
    fault: /LATHE_JOBS is not 1/,
  },
];

it.each(BREAKS.map((each): [string, string, Break] => [each.rule, String(each.fault), each]))(
  "the rule '%s ...' finds %s",
  (_, __, { rule, of, change, fault }) => {
    const rendering = rendered(of);
    const objects = rendering.objects as KubeObject[];
    const find = (title: string) => objects.find((object) => titleOf(object) === title)!;
    change(find, (title) => podsOf(objects).find((pod) => pod.of === title)!, objects);
    const found = RULES.filter(({ name }) => name.startsWith(rule)).flatMap((one) => one.faults(rendering));
    expect(found.join("\n")).toMatch(fault);
  },
);

it("each rule finds a change", () => {
  const tried = BREAKS.map(({ rule }) => rule);
  expect(RULES.map(({ name }) => name).filter((name) => !tried.some((start) => name.startsWith(start)))).toEqual([]);
});
