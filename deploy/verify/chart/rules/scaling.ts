import { WORK_STREAM, workDurable } from "../../../../shared/events/subjects";
import { podsOf, titleOf } from "../objects";
import { ofKind, type Rule } from "./rule";

/** Names of queues in KEDA's triggers, compared with those in the code. */
export const scalingRules: Rule[] = [
  {
    name: "KEDA looks at the queues of the trainer",
    faults: ({ objects }) =>
      ofKind(objects, "ScaledJob", "ScaledObject").flatMap((scaler) => {
        const triggers = scaler.spec?.triggers ?? [];
        const queues = triggers.map(({ metadata: { stream, consumer } }) => `${stream}/${consumer}`).sort();
        const wanted = [workDurable("train"), workDurable("retrain")]
          .map((durable) => `${WORK_STREAM}/${durable}`)
          .sort();
        return [
          ...(queues.join() === wanted.join()
            ? []
            : [`${titleOf(scaler)}: looks at ${queues.join()}, must at ${wanted.join()}`]),
          ...triggers
            .filter(({ metadata }) => metadata.lagThreshold !== "1")
            .map(
              ({ metadata }) =>
                `${titleOf(scaler)}: lagThreshold is ${JSON.stringify(metadata.lagThreshold)}, must be "1"`,
            ),
          ...triggers
            .filter(({ metadata }) => !/^[^/:]+:\d+$/.test(metadata.natsServerMonitoringEndpoint ?? ""))
            .map(() => `${titleOf(scaler)}: natsServerMonitoringEndpoint is no host:port`),
        ];
      }),
  },
  {
    name: "a ScaledObject alone sets the replicas of a Deployment that is there",
    faults: ({ objects }) =>
      ofKind(objects, "ScaledObject").flatMap((scaler) => {
        const name = scaler.spec?.scaleTargetRef?.name;
        const target = ofKind(objects, "Deployment").find(({ metadata }) => metadata.name === name);
        if (!target) return [`${titleOf(scaler)}: scales ${name}, which is no Deployment of the release`];
        return target.spec?.replicas === undefined
          ? []
          : [`${titleOf(target)}: sets replicas, which the ScaledObject does`];
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
