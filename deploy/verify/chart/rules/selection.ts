import { matches, podsOf, titleOf, type KubeObject, type Labels, type PodOf } from "../objects";
import { ofKind, unless, type Rule } from "./rule";

/** Rules for names, selectors and ports that must match between objects. */
export const selectionRules: Rule[] = [
  {
    name: "names are DNS labels of at most 63 characters and unique per kind",
    faults: ({ objects }) => {
      const titles = objects.map(titleOf);
      return titles.flatMap((title, at) => [
        ...unless(/^[^/]+\/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(title), `${title}: is not a DNS label`),
        ...unless(titles.indexOf(title) === at, `${title}: is there twice`),
      ]);
    },
  },
  {
    name: "workloads select only their own pods",
    faults: ({ objects }) =>
      ofKind(objects, "Deployment", "StatefulSet").flatMap((object) => {
        const of = titleOf(object);
        const selected = podsOf(objects).filter(({ labels }) => matches(object.spec?.selector ?? {}, labels));
        const others = selected.filter((pod) => pod.of !== of);
        return [
          ...unless(others.length < selected.length, `${of}: does not select its own pods`),
          ...others.map((pod) => `${of}: also selects the pods of ${pod.of}`),
        ];
      }),
  },
  {
    name: "Services select pods, and each port leads to a port of these pods",
    faults: ({ objects }) =>
      ofKind(objects, "Service").flatMap((service) => {
        const selected = selectedBy(service.spec?.selector ?? {}, objects);
        if (selected.length === 0) return [`${titleOf(service)}: selects no pod`];
        return (service.spec?.ports ?? []).flatMap(({ name, targetPort }) =>
          selected.flatMap((pod) => {
            const fault = `${titleOf(service)}: port ${name} leads to ${targetPort}, which ${pod.of} does not have`;
            return unless(hasPort(pod, targetPort), fault);
          }),
        );
      }),
  },
  {
    name: "StatefulSets name an existing Service",
    faults: ({ objects }) =>
      ofKind(objects, "StatefulSet").flatMap((object) =>
        unless(
          ofKind(objects, "Service").some(({ metadata }) => metadata.name === object.spec?.serviceName),
          `${titleOf(object)}: serviceName ${object.spec?.serviceName} is not a Service of the release`,
        ),
      ),
  },
  {
    name: "disruption budgets select pods that a controller replaces",
    faults: ({ objects }) =>
      ofKind(objects, "PodDisruptionBudget").flatMap((budget) => {
        const selected = podsOf(objects).filter((pod) => !pod.test && matches(budget.spec?.selector ?? {}, pod.labels));
        if (selected.length === 0) return [`${titleOf(budget)}: selects no pod`];
        return selected
          .filter(({ of }) => of.startsWith("ScaledJob/"))
          .map(({ of }) => `${titleOf(budget)}: selects pods of ${of}, which a budget does not protect`);
      }),
  },
  {
    name: "monitors select existing targets and ports",
    faults: ({ objects }) => {
      const services = ofKind(objects, "Service").map((service) => ({
        of: titleOf(service),
        labels: service.metadata.labels ?? {},
        has: (port: string) => service.spec?.ports?.some(({ name }) => name === port),
      }));
      const pods = podsOf(objects).map((pod) => ({ ...pod, has: (port: string) => hasPort(pod, port) }));
      return [
        ...ofKind(objects, "ServiceMonitor").flatMap((one) => unmet(one, "Service", services, one.spec?.endpoints)),
        ...ofKind(objects, "PodMonitor").flatMap((one) => unmet(one, "pod", pods, one.spec?.podMetricsEndpoints)),
      ];
    },
  },
];

/** An object that a monitor may select. */
interface Target {
  of: string;
  labels: Labels;
  has: (port: string) => boolean | undefined;
}

function unmet(monitor: KubeObject, kind: string, targets: readonly Target[], ports: { port: string }[] = []) {
  const found = targets.filter(({ labels }) => matches(monitor.spec?.selector ?? {}, labels));
  return [
    ...unless(found.length > 0, `${titleOf(monitor)}: selects no ${kind}`),
    ...found.flatMap(({ of, has }) =>
      ports.flatMap(({ port }) => unless(has(port), `${titleOf(monitor)}: ${of} has no port ${port}`)),
    ),
  ];
}

const selectedBy = (matchLabels: Labels, objects: readonly KubeObject[]): PodOf[] =>
  podsOf(objects).filter(({ labels }) => matches({ matchLabels }, labels));

const hasPort = ({ spec }: PodOf, port: number | string) =>
  spec.containers.some(({ ports = [] }) => ports.some((own) => own.name === port || own.containerPort === port));
