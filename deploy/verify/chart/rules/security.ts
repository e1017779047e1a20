import { titleOf } from "../objects";
import { ofContainers, ofKind, ofPods, unless, type Rule } from "./rule";

/** Rules for privileges, stricter than the Pod Security Standard "restricted". */
export const securityRules: Rule[] = [
  ofContainers("containers run without privileges", ({ securityContext = {} }) => {
    const { privileged, allowPrivilegeEscalation, capabilities } = securityContext;
    return [
      ...unless(privileged !== true, "is privileged"),
      ...unless(allowPrivilegeEscalation === false, "may gain privileges"),
      ...unless(capabilities?.drop?.includes("ALL"), "keeps capabilities"),
      ...unless((capabilities?.add ?? []).length === 0, "adds capabilities"),
    ];
  }),
  ofPods("pods run as their own user and share nothing with their node", ({ spec }) => {
    const { securityContext = {}, hostNetwork, hostPID, hostIPC, volumes = [] } = spec;
    return [
      ...unless(securityContext.runAsNonRoot === true, "may run as root"),
      ...unless((securityContext.runAsUser ?? 0) > 0, "names no user by number"),
      ...unless(securityContext.seccompProfile?.type === "RuntimeDefault", "has no seccomp profile"),
      ...unless(!hostNetwork && !hostPID && !hostIPC, "shares a namespace of its node"),
      ...volumes.filter(({ hostPath }) => hostPath).map(({ name }) => `mounts a folder of its node as ${name}`),
    ];
  }),
  ofContainers(
    "root file systems are read-only; only /tmp or a store is writable",
    ({ securityContext, volumeMounts = [] }, pod) => {
      const writable = (name: string) =>
        pod.spec.volumes?.find((volume) => volume.name === name)?.emptyDir !== undefined ||
        !pod.spec.volumes?.some((volume) => volume.name === name);
      return [
        ...unless(securityContext?.readOnlyRootFilesystem === true, "writes to its image"),
        ...unless(
          volumeMounts.some(({ name, readOnly }) => readOnly !== true && writable(name)),
          "has no place to write to",
        ),
      ];
    },
  ),
  ofContainers(
    "services that open data sets are confined to their volume",
    ({ args = [], env = [], volumeMounts = [] }) => {
      if (!args.some((arg) => /services\/(supernet|discretization)\//.test(arg))) return [];
      const volume = volumeMounts.find(({ name }) => name === "dataset")?.mountPath ?? "none";
      const folder = env.find(({ name }) => name === "LATHE_DATA_FOLDER")?.value;
      return unless(folder === volume, `has LATHE_DATA_FOLDER ${folder}, must be ${volume}`);
    },
  ),
  {
    name: "pods mount no API token, and their service account exists",
    faults: (rendering) => {
      const accounts = ofKind(rendering.objects, "ServiceAccount");
      const ofAccounts = accounts
        .filter((account) => account.automountServiceAccountToken !== false)
        .map((account) => `${titleOf(account)}: mounts its token`);
      const pods = ofPods("", ({ spec }) => [
        ...unless(spec.automountServiceAccountToken === false, "mounts a token"),
        ...unless(
          accounts.some(({ metadata }) => metadata.name === spec.serviceAccountName),
          `has account ${spec.serviceAccountName}, which the release does not create`,
        ),
      ]);
      return [...ofAccounts, ...pods.faults(rendering)];
    },
  },
];
