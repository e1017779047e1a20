import { parseAllDocuments, stringify } from "yaml";

/** The fields of rendered objects that the rules read. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  spec?: Spec;
  data?: Record<string, string>;
  automountServiceAccountToken?: boolean;
}

interface Metadata {
  name: string;
  labels?: Labels;
  annotations?: Labels;
}

export type Labels = Record<string, string>;

interface Selector {
  matchLabels?: Labels;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

/** The spec of any kind. The kind determines which fields are set. */
interface Spec extends Partial<PodSpec> {
  replicas?: number;
  selector?: Selector & Labels;
  template?: { metadata: Omit<Metadata, "name">; spec: PodSpec };
  jobTargetRef?: { template: { metadata: Omit<Metadata, "name">; spec: PodSpec } };
  serviceName?: string;
  clusterIP?: string;
  ports?: { name: string; port: number; targetPort: number | string }[];
  podSelector?: Selector;
  policyTypes?: string[];
  ingress?: { from?: Peer[]; ports?: { port: number }[] }[];
  egress?: { to?: Peer[]; ports?: { port: number }[] }[];
  endpoints?: { port: string }[];
  podMetricsEndpoints?: { port: string }[];
  scaleTargetRef?: { name: string };
  triggers?: { type: string; metadata: Labels }[];
}

interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string };
}

interface PodSpec {
  serviceAccountName: string;
  automountServiceAccountToken?: boolean;
  terminationGracePeriodSeconds?: number;
  securityContext?: { runAsNonRoot?: boolean; runAsUser?: number; seccompProfile?: { type: string } };
  hostNetwork?: boolean;
  hostPID?: boolean;
  hostIPC?: boolean;
  containers: Container[];
  volumes?: Volume[];
}

interface Volume {
  name: string;
  secret?: { secretName: string };
  persistentVolumeClaim?: { claimName: string };
  emptyDir?: object;
  hostPath?: object;
}

export interface Container {
  name: string;
  image: string;
  args?: string[];
  env?: { name: string; value?: string }[];
  ports?: { name: string; containerPort: number }[];
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
  resources?: { requests?: Quantities; limits?: Quantities };
  securityContext?: {
    privileged?: boolean;
    allowPrivilegeEscalation?: boolean;
    readOnlyRootFilesystem?: boolean;
    capabilities?: { drop?: string[]; add?: string[] };
  };
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
}

interface Probe {
  httpGet?: { path: string; port: number | string };
}

type Quantities = Record<string, string | number>;

/** The objects rendered from one value file. */
export interface Rendering {
  name: string;
  /** The values of ci/<name>.yaml. */
  values: string;
  objects: readonly KubeObject[];
}

/** A pod template of a rendering and the object that holds it. */
export interface PodOf {
  of: string;
  labels: Labels;
  spec: PodSpec;
  /** Whether it is the pod of a helm test. */
  test: boolean;
}

export const titleOf = ({ kind, metadata }: KubeObject) => `${kind}/${metadata.name}`;

/** The objects of helm's output; empty documents are dropped. */
export function parseObjects(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    for (const error of document.errors) throw error;
    const value = document.toJS() as KubeObject | null;
    return value ? [value] : [];
  });
}

/** The objects as YAML documents without line folding. */
export const writeObjects = (objects: readonly KubeObject[]): string =>
  objects.map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`).join("");

/** All pods of a rendering, of any kind of object. */
export function podsOf(objects: readonly KubeObject[]): PodOf[] {
  return objects.flatMap((object): PodOf[] => {
    const { kind, metadata, spec } = object;
    const of = titleOf(object);
    if (kind === "Pod" && spec) return [{ of, labels: metadata.labels ?? {}, spec: spec as PodSpec, test: true }];
    const template = spec?.template ?? spec?.jobTargetRef?.template;
    return template ? [{ of, labels: template.metadata.labels ?? {}, spec: template.spec, test: false }] : [];
  });
}

/** Whether a selector matches labels; an empty selector matches all. */
export function matches({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels): boolean {
  const equal = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return (
    equal &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      const among = value !== undefined && values.includes(value);
      return operator === "In" ? among : !among;
    })
  );
}

const FACTORS: Record<string, number> = { m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };
const BINARY = ["Ki", "Mi", "Gi", "Ti", "Pi"];

/** A Kubernetes quantity as a number: "250m" is 0.25, "1Gi" is 2^30; NaN for invalid text. */
export function quantity(text: string | number): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)(m|k|[KMGTP]i?)?$/.exec(String(text)) ?? [];
  const binary = BINARY.indexOf(unit);
  const factor = unit === "" ? 1 : binary >= 0 ? 1024 ** (binary + 1) : FACTORS[unit];
  return Number(number) * (factor ?? NaN);
}
