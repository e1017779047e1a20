import { matches, podsOf, titleOf, type KubeObject, type Labels, type PodOf } from "../objects";
import { ofKind, type Rule } from "./rule";

/** Rules for names, selectors and ports that must match between objects. */
export const selectionRules: Rule[] = [
  {
    name: "names are DNS labels of at most 63 characters and unique per kind",
    faults: ({ objects }) => {
      const titles = objects.map(titleOf);
      return titles.flatMap((title, at) => [
        ...(/^[^/]+\/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(title) ? [] : [`${title}: is not a DNS label`]),
        ...(titles.indexOf(title) === at ? [] : [`${title}: is there twice`]),
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
          ...(selected.some((pod) => pod.of === of) ? [] : [`${of}: does not select its own pods`]),
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
          selected.flatMap((pod) =>
            hasPort(pod, targetPort)
              ? []
              : [`${titleOf(service)}: port ${name} leads to ${targetPort}, which ${pod.of} does not have`],
          ),
        );
      }),
  },
  {
    name: "StatefulSets name an existing Service",
    faults: ({ objects }) =>
      ofKind(objects, "StatefulSet").flatMap((object) =>
        ofKind(objects, "Service").some(({ metadata }) => metadata.name === object.spec?.serviceName)
          ? []
          : [`${titleOf(object)}: serviceName ${object.spec?.serviceName} is not a Service of the release`],
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
    faults: ({ objects }) => [
      ...ofKind(objects, "ServiceMonitor").flatMap((monitor) => {
        const found = ofKind(objects, "Service").filter(({ metadata }) =>
          matches(monitor.spec?.selector ?? {}, metadata.labels ?? {}),
        );
        const ports = monitor.spec?.endpoints ?? [];
        return [
          ...(found.length > 0 ? [] : [`${titleOf(monitor)}: selects no Service`]),
          ...found.flatMap((service) =>
            ports
              .filter(({ port }) => !service.spec?.ports?.some(({ name }) => name === port))
              .map(({ port }) => `${titleOf(monitor)}: ${titleOf(service)} has no port ${port}`),
          ),
        ];
      }),
      ...ofKind(objects, "PodMonitor").flatMap((monitor) => {
        const found = podsOf(objects).filter((pod) => matches(monitor.spec?.selector ?? {}, pod.labels));
        const ports = monitor.spec?.podMetricsEndpoints ?? [];
        return [
          ...(found.length > 0 ? [] : [`${titleOf(monitor)}: selects no pod`]),
          ...found.flatMap((pod) =>
            ports
              .filter(({ port }) => !hasPort(pod, port))
              .map(({ port }) => `${titleOf(monitor)}: ${pod.of} has no port ${port}`),
          ),
        ];
      }),
    ],
  },
];

const selectedBy = (matchLabels: Labels, objects: readonly KubeObject[]): PodOf[] =>
  podsOf(objects).filter(({ labels }) => matches({ matchLabels }, labels));

const hasPort = ({ spec }: PodOf, port: number | string) =>
  spec.containers.some(({ ports = [] }) => ports.some((own) => own.name === port || own.containerPort === port));
