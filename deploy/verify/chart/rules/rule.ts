import type { Container, KubeObject, PodOf, Rendering } from "../objects";
import { podsOf } from "../objects";

/** A rule of every rendering; `faults` lists its violations. */
export interface Rule {
  name: string;
  faults: (rendering: Rendering) => string[];
}

/** A rule of each pod, of any kind of object. */
export const ofPods = (name: string, faults: (pod: PodOf, rendering: Rendering) => string[]): Rule => ({
  name,
  faults: (rendering) =>
    podsOf(rendering.objects).flatMap((pod) => faults(pod, rendering).map((fault) => `${pod.of}: ${fault}`)),
});

/** A rule of each container of each pod. */
export const ofContainers = (name: string, faults: (container: Container, pod: PodOf) => string[]): Rule =>
  ofPods(name, (pod) =>
    pod.spec.containers.flatMap((container) =>
      faults(container, pod).map((fault) => `container ${container.name}: ${fault}`),
    ),
  );

/** The fault, unless what should hold does. */
export const unless = (holds: boolean | undefined, fault: string) => (holds ? [] : [fault]);

export const ofKind = (objects: readonly KubeObject[], ...kinds: string[]) =>
  objects.filter(({ kind }) => kinds.includes(kind));
