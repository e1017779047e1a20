import { computingEnvironment } from "../../shared/engine/native";
import type { Alone } from "../../shared/events/alone";
import { answerBy, type Call, type Reply } from "../../shared/process/port";
import { startWorker } from "../../shared/process/worker";
import type { Device } from "../../shared/proto/lathe/v1/latency";
import type { ServedDevice } from "./devices";
import type { Measured, Subject } from "./network";
import type { MeasuredOperators, Operators } from "./operators";
import type { FragmentCalls } from "./ratios";
import { QuietPaces } from "./paces";
import type { QuietPace } from "./sampling";
import type { ProfilingSettings } from "./settings";
import { Turns } from "../../shared/process/turns";

/** A job of the measuring process. The process ends after one job. */
export type Job =
  | { kind: "devices"; served: ServedDevice; threads: number }
  | ({ kind: "network"; subject: Subject } & Measuring)
  | ({ kind: "operators"; operators: Operators } & Measuring);

interface Measuring {
  settings: ProfilingSettings;
  /** The quiet pace that earlier measurements have told; undefined before the first. */
  quiet: QuietPace | undefined;
}

/** Results by kind of job. */
export interface Outcomes {
  devices: Device[];
  network: Measured[];
  operators: MeasuredOperators;
}

/** Runs measurements one at a time, each in a child process of its own. Rejects as Worker.run does, or with the signal's reason. */
export interface Profiler {
  devices(served: ServedDevice, threads: number, signal: AbortSignal): Promise<Device[]>;
  /** Measures a network at each of its batch sizes (measureNetwork). */
  network(subject: Subject, settings: ProfilingSettings, signal: AbortSignal): Promise<Measured[]>;
  operators(
    operators: Operators,
    settings: ProfilingSettings,
    calls: FragmentCalls,
    signal: AbortSignal,
  ): Promise<MeasuredOperators>;
  /** Turns.free of the measurements. */
  free(signal: AbortSignal): Promise<AbortSignal>;
  /** Measurements that run or wait for their turn. */
  pending(): number;
  /** Process ids of running measurements. */
  pids(): number[];
}

/** A run cannot be interrupted and may be long, so an aborted process is killed after this time. */
const GRACE_MS = 2000;
/** Threads of the garbage collection would take cores from the runs: every run has outputs that are collected. */
const FLAGS = ["--single-threaded-gc"];

/**
 * glibc reads it when a process starts. The binding of ONNX Runtime copies each output into a new buffer. Where freed buffers go back to the
 * system, every run waits for the pages of a new one. With full-size logits that took up to half of a run, in some processes only.
 */
const ENVIRONMENT = { GLIBC_TUNABLES: `glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=${2 ** 40}` };

/** A profiler whose measurements run within `alone`; for a process beside which no service computes, they just run. */
export function startProfiler(alone: Alone = (measure) => measure()): Profiler {
  const entry = {
    dir: __dirname,
    name: "worker",
    graceMs: GRACE_MS,
    env: { ...computingEnvironment(), ...ENVIRONMENT },
    flags: FLAGS,
  };
  const worker = startWorker<Job, Call<FragmentCalls>, Outcomes[keyof Outcomes], Reply<FragmentCalls>>(entry);
  const turns = new Turns();
  // The job is made when its turn has come: what the jobs before it have told is known then.
  const run = async <K extends Job["kind"]>(
    job: () => Job & { kind: K },
    signal: AbortSignal,
    calls?: FragmentCalls,
  ): Promise<Outcomes[K]> =>
    (await turns.take(
      () => alone(() => worker.run(job(), { signal, ...(calls && { onMessage: answerBy(calls) }) }), signal),
      signal,
    )) as Outcomes[K];
  const paces = new QuietPaces();
  const measuring = (settings: ProfilingSettings): Measuring => ({ settings, quiet: paces.of(settings) });
  return {
    devices: (served, threads, signal) => run(() => ({ kind: "devices", served, threads }), signal),
    network: async (subject, settings, signal) => {
      const measured = await run(() => ({ kind: "network", subject, ...measuring(settings) }), signal);
      paces.learn(settings, measured);
      return measured;
    },
    operators: async (operators, settings, calls, signal) => {
      const measured = await run(() => ({ kind: "operators", operators, ...measuring(settings) }), signal, calls);
      paces.learn(settings, [measured.largest, measured.smallest]);
      return measured;
    },
    free: (signal) => turns.free(signal),
    pending: () => turns.pending,
    pids: () => worker.pids(),
  };
}
