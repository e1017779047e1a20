import { Names } from "../../../../shared/events/names";
import { WORK_STREAM, workDurable } from "../../../../shared/events/subjects";
import { podsOf, titleOf } from "../objects";
import { ofKind, unless, type Rule } from "./rule";

/** Rules for KEDA: its triggers must name the queues of the code. */
export const scalingRules: Rule[] = [
  {
    name: "KEDA scales by the queues of the trainer",
    faults: ({ objects }) => {
      const env = podsOf(objects).flatMap(({ spec }) => spec.containers.flatMap((container) => container.env ?? []));
      const names = new Names(env.find(({ name }) => name === "LATHE_NATS_PREFIX")?.value ?? "");
      return ofKind(objects, "ScaledJob", "ScaledObject").flatMap((scaler) => {
        const triggers = scaler.spec?.triggers ?? [];
        const queues = triggers.map(({ metadata: { stream, consumer } }) => `${stream}/${consumer}`).sort();
        const wanted = [workDurable("train"), workDurable("retrain")].map(
          (durable) => `${names.stream(WORK_STREAM)}/${durable}`,
        );
        return [
          ...unless(
            queues.join() === wanted.sort().join(),
            `${titleOf(scaler)}: uses the queues ${queues.join()}, must use ${wanted.join()}`,
          ),
          ...triggers
            .filter(({ metadata }) => metadata.lagThreshold !== "1")
            .map(
              ({ metadata }) =>
                `${titleOf(scaler)}: lagThreshold is ${JSON.stringify(metadata.lagThreshold)}, must be "1"`,
            ),
          ...triggers
            .filter(({ metadata }) => !/^[^/:]+:\d+$/.test(metadata.natsServerMonitoringEndpoint ?? ""))
            .map(() => `${titleOf(scaler)}: natsServerMonitoringEndpoint is not host:port`),
        ];
      });
    },
  },
  {
    name: "a ScaledObject scales an existing Deployment that sets no replicas",
    faults: ({ objects }) =>
      ofKind(objects, "ScaledObject").flatMap((scaler) => {
        const name = scaler.spec?.scaleTargetRef?.name;
        const target = ofKind(objects, "Deployment").find(({ metadata }) => metadata.name === name);
        if (!target) return [`${titleOf(scaler)}: scales ${name}, which is not a Deployment of the release`];
        const fault = `${titleOf(target)}: sets replicas, but the ScaledObject sets them`;
        return unless(target.spec?.replicas === undefined, fault);
      }),
  },
  {
    name: "the pod of a Job ends after its work item",
    faults: ({ objects }) =>
      podsOf(objects)
        .filter(({ of }) => of.startsWith("ScaledJob/"))
        .filter(
          ({ spec }) => !spec.containers[0]?.env?.some(({ name, value }) => name === "LATHE_JOBS" && value === "1"),
        )
        .map(({ of }) => `${of}: LATHE_JOBS is not 1, so it would never end`),
  },
];
