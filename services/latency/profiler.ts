import { startWorker } from "../../shared/process/worker";
import type { Device } from "../../shared/proto/lathe/v1/latency";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import type { Job, Outcomes } from "./jobs";
import type { MeasuredNetwork } from "./network";
import type { MeasuredOperators } from "./operators";
import type { ProfilingSettings } from "./settings";
import { Turns } from "../../shared/process/turns";

/** Measures, each time in a child process of its own, one at a time. Rejects as Worker.run does, or with the reason of the signal. */
export interface Profiler {
  devices(signal: AbortSignal): Promise<Device[]>;
  network(model: Uint8Array, settings: ProfilingSettings, signal: AbortSignal): Promise<MeasuredNetwork>;
  operators(space: SearchSpace, settings: ProfilingSettings, signal: AbortSignal): Promise<MeasuredOperators>;
  /** Turns.free of the measurements. */
  free(signal: AbortSignal): Promise<AbortSignal>;
  /** Measurements that run or wait for their turn. */
  pending(): number;
  /** Process ids of the measurements that run. */
  pids(): number[];
}

/** A run of a network may be long, and nothing can stop it in its middle but the end of its process. */
const GRACE_MS = 2000;

export function startProfiler(): Profiler {
  const worker = startWorker<Job, never, Outcomes[keyof Outcomes]>({
    dir: __dirname,
    name: "worker",
    graceMs: GRACE_MS,
  });
  const turns = new Turns();
  const run = async <K extends Job["kind"]>(job: Job & { kind: K }, signal: AbortSignal) =>
    (await turns.take(() => worker.run(job, { signal }), signal)) as Outcomes[K];
  return {
    devices: (signal) => run({ kind: "devices" }, signal),
    network: (model, settings, signal) => run({ kind: "network", model, settings }, signal),
    operators: (space, settings, signal) => run({ kind: "operators", space, settings }, signal),
    free: (signal) => turns.free(signal),
    pending: () => turns.pending,
    pids: () => worker.pids(),
  };
}
