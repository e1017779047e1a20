import type { Metrics } from "../../shared/process/metrics";
import { TRAININGS, trainingOfWork } from "../../shared/spec/phases";

/** Metrics of trainings. */
export interface TrainingMetrics {
  /** Records that a work item has begun. Call the returned function when it has ended. */
  began(): () => void;
  /** Called after each step of a work item of kind `work`. */
  stepped(work: string): void;
  /** Times and counts a store of `bytes`. */
  stored<T>(bucket: string, bytes: number, put: () => Promise<T>): Promise<T>;
}

const SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const STEP_SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

export function trainingMetrics(metrics: Metrics, residentBytes: () => number): TrainingMetrics {
  const steps = metrics.histogram(
    "nas_step_duration_seconds",
    "Time between two finished training steps of one phase.",
    STEP_SECONDS,
    ["phase"],
  );
  const seconds = metrics.histogram(
    "nas_checkpoint_duration_seconds",
    "Time to store one object of a training process.",
    SECONDS,
    ["bucket"],
  );
  const size = metrics.gauge("nas_checkpoint_size_bytes", "Size of the newest stored object.", ["bucket"]);
  const failures = metrics.counter("nas_checkpoint_failures_total", "Objects that could not be stored.", ["bucket"]);
  // Series begin at 0: otherwise `rate` would not see the first increase.
  for (const { training } of TRAININGS) steps.zero({ phase: training });
  for (const bucket of ["checkpoints", "artifacts"]) {
    seconds.zero({ bucket });
    failures.inc({ bucket }, 0);
  }
  const last = metrics.gauge(
    "nas_checkpoint_last_success_timestamp_seconds",
    "When an object was last stored, in seconds since 1970.",
    ["bucket"],
  );
  metrics.gauge(
    "nas_training_resident_bytes",
    "Resident memory of the training process, 0 where none runs.",
    [],
    (gauge) => gauge.set(residentBytes()),
  );
  const started = metrics.gauge(
    "nas_training_started_timestamp_seconds",
    "When the training in hand began, Unix time.",
  );
  const interval = metrics.gauge(
    "nas_training_checkpoint_interval_seconds",
    "Longest time between two checkpoints of the training in hand; 0 before its second.",
  );
  const idle = () => {
    for (const gauge of [started, interval]) gauge.remove();
  };
  idle();
  /** When the current training stored its last checkpoint, in seconds since 1970. */
  let checkpointAt: number | undefined;
  let longest = 0;
  let previous: { work: string; at: number } | undefined;
  return {
    began: () => {
      checkpointAt = undefined;
      longest = 0;
      started.set(Date.now() / 1000);
      interval.set(0);
      return idle;
    },
    stepped: (work) => {
      const at = performance.now();
      const phase = trainingOfWork(work);
      if (phase !== undefined && previous?.work === work) steps.observe({ phase }, (at - previous.at) / 1000);
      previous = { work, at };
    },
    stored: async (bucket, bytes, put) => {
      const started = performance.now();
      try {
        const result = await put();
        seconds.observe({ bucket }, (performance.now() - started) / 1000);
        size.set({ bucket }, bytes);
        const now = Date.now() / 1000;
        last.set({ bucket }, now);
        if (bucket === "checkpoints") {
          longest = Math.max(longest, now - (checkpointAt ?? now));
          checkpointAt = now;
          interval.set(longest);
        }
        return result;
      } catch (error) {
        failures.inc({ bucket });
        throw error;
      }
    },
  };
}
