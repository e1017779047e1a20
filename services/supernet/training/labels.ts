import type { Dataset } from "../../../shared/data/open";
import { HealthAlarmKind } from "../../../shared/proto/lathe/v1/result";
import { Dimension } from "../../../shared/proto/lathe/v1/space";
import { HealthPolicy } from "../../../shared/proto/lathe/v1/spec";
import type { TrainingPort } from "./port";

/** Raises one alarm with all that the labels of a data set give reason to warn of, before the first step of a search. */
export async function tellOfLabels(dataset: Dataset, port: Pick<TrainingPort, "raise">): Promise<void> {
  const warnings = await dataset.warnings();
  if (warnings.length === 0) return;
  await port.raise({
    kind: HealthAlarmKind.HEALTH_ALARM_KIND_LABELS,
    dimension: Dimension.DIMENSION_UNSPECIFIED,
    epoch: 0,
    value: warnings.length,
    bound: 0,
    policy: HealthPolicy.HEALTH_POLICY_REPORT,
    phase: "",
    message: warnings.join("; "),
  });
}
