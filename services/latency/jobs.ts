import type { Device } from "../../shared/proto/lathe/v1/latency";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import type { MeasuredNetwork } from "./network";
import type { MeasuredOperators } from "./operators";
import type { ProfilingSettings } from "./settings";

/** What the measuring process is asked to do; one job, then it ends. */
export type Job =
  | { kind: "devices" }
  | { kind: "network"; model: Uint8Array; settings: ProfilingSettings }
  | { kind: "operators"; space: SearchSpace; settings: ProfilingSettings };

/** What it answers, by kind. */
export interface Outcomes {
  devices: Device[];
  network: MeasuredNetwork;
  operators: MeasuredOperators;
}
