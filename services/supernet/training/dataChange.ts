import { changeOf } from "../../../shared/data/change";
import type { Dataset } from "../../../shared/data/open";
import { HealthAlarmKind, type DatasetFigures } from "../../../shared/proto/lathe/v1/result";
import { Dimension } from "../../../shared/proto/lathe/v1/space";
import { HealthPolicy } from "../../../shared/proto/lathe/v1/spec";
import type { TrainingPort } from "./port";

/** The epoch under way where a process has read all data: `phase` is the kind of its work. */
interface Moment {
  phase: "train" | "retrain";
  epoch: number;
}

/** Raises an alarm where the data is not the recorded data of the search's first epoch. Nothing is recorded before that epoch has ended. */
export async function tellOfDataChange(
  recorded: DatasetFigures | undefined,
  dataset: Dataset,
  moment: Moment,
  port: Pick<TrainingPort, "raise">,
): Promise<void> {
  const message = await changeOf(recorded, dataset);
  if (message !== undefined) await tellOfChange(message, moment, port);
}

/** Raises the alarm of a change of the data. */
export async function tellOfChange(message: string, moment: Moment, port: Pick<TrainingPort, "raise">): Promise<void> {
  await port.raise({
    kind: HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED,
    dimension: Dimension.DIMENSION_UNSPECIFIED,
    ...moment,
    value: 0,
    bound: 0,
    policy: HealthPolicy.HEALTH_POLICY_REPORT,
    message,
  });
}
