import type { Device } from "../../shared/proto/lathe/v1/latency";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import type { MeasuredNetwork } from "./network";
import type { MeasuredOperators } from "./operators";
import type { ProfilingSettings } from "./settings";

/** A job of the measuring process, which ends after one job. */
export type Job =
  | { kind: "devices" }
  | { kind: "network"; model: Uint8Array; settings: ProfilingSettings }
  | { kind: "operators"; space: SearchSpace; settings: ProfilingSettings };

/** Results by kind of job. */
export interface Outcomes {
  devices: Device[];
  network: MeasuredNetwork;
  operators: MeasuredOperators;
}
