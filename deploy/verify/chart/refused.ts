/** Values that must not install, and the text that helm's error must contain: the path of the invalid or conflicting values. */
interface BadValue {
  values: Record<string, unknown>;
  names: string;
}

/** Values that values.schema.json rejects. */
const AGAINST_SCHEMA: BadValue[] = [
  { values: { repicas: 3 }, names: "'repicas'" },
  { values: { search: { replica: 3 } }, names: "/search" },
  { values: { search: { replicas: "3" } }, names: "/search/replicas" },
  { values: { supernet: { threads: 0 } }, names: "/supernet/threads" },
  { values: { supernet: { lease: "1 minute" } }, names: "/supernet/lease" },
  { values: { supernet: { engine: "pytorch" } }, names: "/supernet/engine" },
  { values: { supernet: { precision: "float16" } }, names: "/supernet/provider" },
  { values: { supernet: { checkpointMebibytes: 0 } }, names: "/supernet/checkpointMebibytes" },
  { values: { supernet: { scaling: { mode: "hpa" } } }, names: "/supernet/scaling/mode" },
  { values: { supernet: { scaling: { mode: "keda-job", minReplicas: 1 } } }, names: "/supernet/scaling/minReplicas" },
  { values: { supernet: { env: [{ name: "LATHE_THREADS", value: "8" }] } }, names: "/supernet/env/0/name" },
  { values: { supernet: { podLabels: { "app.kubernetes.io/component": "x" } } }, names: "/supernet/podLabels" },
  { values: { supernet: { resources: { limits: { memory: "4 GB" } } } }, names: "/supernet/resources/limits/memory" },
  {
    values: { supernet: { gpus: 1, resourceClaims: [{ name: "gpu", resourceClaimName: "a" }] } },
    names: "/supernet/resourceClaims",
  },
  { values: { latency: { deviceClass: "GPU!" } }, names: "/latency/deviceClass" },
  { values: { latency: { profilingProvider: "gpu" } }, names: "/latency/profilingProvider" },
  { values: { latency: { targets: [{ deviceClass: "cpu" }] } }, names: "/latency/targets/0" },
  { values: { latency: { targets: [{ name: "a-name-too-long-for-dns" }] } }, names: "/latency/targets/0/name" },
  { values: { gpu: { resourceName: "gpu" } }, names: "/gpu/resourceName" },
  { values: { grpc: { port: 443 } }, names: "/grpc/port" },
  { values: { grpc: { tls: { verifyClients: true } } }, names: "/grpc/tls/secretName" },
  { values: { nats: { url: "localhost:4222" } }, names: "/nats/url" },
  { values: { nats: { prefix: "Team.A" } }, names: "/nats/prefix" },
  { values: { nats: { replicas: 6 } }, names: "/nats/replicas" },
  { values: { nats: { tls: { clientCertificate: true } } }, names: "/nats/tls/secretName" },
  { values: { image: { digest: "sha256:abc" } }, names: "/image/digest" },
  { values: { dataset: { mountPath: "data" } }, names: "/dataset/mountPath" },
  { values: { dataset: { mountPath: "/data:/more" } }, names: "/dataset/mountPath" },
  { values: { tracing: { endpoint: "collector:4318" } }, names: "/tracing/endpoint" },
  { values: { tracing: { samplingRatio: 10 } }, names: "/tracing/samplingRatio" },
  { values: { podDisruptionBudget: { maxUnavailable: 0 } }, names: "/podDisruptionBudget/maxUnavailable" },
  { values: { networkPolicy: { enabled: true, dns: [] } }, names: "/networkPolicy/dns" },
  { values: { monitoring: { monitors: { interval: 15 } } }, names: "/monitoring/monitors/interval" },
];

/** Values that templates/validations.yaml rejects, because they conflict with each other or with the cluster. */
const INCOHERENT: BadValue[] = [
  { values: { nats: { replicas: 3 } }, names: "nats.replicas is 3" },
  { values: { supernet: { provider: "cuda" } }, names: "supernet.gpus is 0" },
  {
    values: { discretization: { engine: "tensorflow", gpus: 1 } },
    names: "discretization.provider is cpu, must be cuda",
  },
  { values: { latency: { deviceClass: "tensorrt" } }, names: "latency.gpus is 0" },
  { values: { latency: { targets: [{ name: "t4", deviceClass: "cuda" }] } }, names: "latency.targets[t4].gpus is 0" },
  { values: { latency: { deviceClass: "t4", gpus: 1 } }, names: "latency.profilingProvider is cpu" },
  { values: { latency: { targets: [{ name: "a" }, { name: "a" }] } }, names: "latency.targets has two of name a" },
  {
    values: { fullnameOverride: "l".repeat(48), latency: { targets: [{ name: "rtx-6000" }] } },
    names: "latency.targets[rtx-6000] makes the name",
  },
  {
    values: { latency: { deviceClass: "cuda", gpus: 1, gpuResourceName: "nvidia.com/gpu.shared" } },
    names: "latency measures on nvidia.com/gpu.shared",
  },
  {
    values: { supernet: { scaling: { mode: "keda-object", minReplicas: 3, maxReplicas: 2 } } },
    names: "supernet.scaling.minReplicas is 3",
  },
  {
    values: { nats: { url: "nats://nats:4222" }, supernet: { scaling: { mode: "keda-job" } } },
    names: "supernet.scaling.natsMonitoringEndpoint is empty",
  },
  {
    values: { networkPolicy: { enabled: true, keda: [] }, supernet: { scaling: { mode: "keda-job" } } },
    names: "networkPolicy.keda is empty",
  },
];

export const BAD_VALUES: readonly BadValue[] = [...AGAINST_SCHEMA, ...INCOHERENT];
