import { HealthAlarmRaised } from "../proto/lathe/v1/events";
import { HealthAlarmKind as Kind } from "../proto/lathe/v1/result";
import { eventOrdinal } from "./catalog";

it("alarms are numbered in the order in which a search can raise them", () => {
  const { HEALTH_ALARM_KIND_LABELS: labels, HEALTH_ALARM_KIND_DATA_CHANGED: changed } = Kind;
  const { HEALTH_ALARM_KIND_LOSS_NOT_FINITE: first, HEALTH_ALARM_KIND_PLATEAU: last } = Kind;
  const alarms = [
    { kind: labels, epoch: 0 },
    { kind: changed, epoch: 1, phase: "train" },
    { kind: first, epoch: 1 },
    { kind: last, epoch: 1, dimension: 9 },
    { kind: changed, epoch: 2, phase: "train" },
    { kind: first, epoch: 2 },
    { kind: last, epoch: 1_000_000, dimension: 9 },
    { kind: changed, epoch: 1, phase: "retrain" },
    { kind: changed, epoch: 2, phase: "retrain" },
  ];
  const numbers = alarms.map((data) =>
    eventOrdinal({ type: "health.alarm.raised", data: HealthAlarmRaised.fromPartial(data) }),
  );
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a! - b!));
});
