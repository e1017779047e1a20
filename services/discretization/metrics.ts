import type { Metrics } from "../../shared/process/metrics";

/** Metrics of derivations. */
export interface DerivationMetrics {
  /** Times and counts a derivation. One that the signal aborts counts as cancelled, not as failed. */
  derived<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T>;
  gap(ratio: number): void;
}

export function derivationMetrics(metrics: Metrics): DerivationMetrics {
  const seconds = metrics.histogram(
    "nas_derivation_duration_seconds",
    "Time to derive a network and measure its discretization gap.",
    [0.3, 1, 3, 10, 30, 100, 300],
  );
  const outcomes = metrics.counter("nas_derivations_total", "Derivations by outcome.", ["outcome"]);
  const gap = metrics.gauge(
    "nas_discretization_gap_ratio",
    "mIoU of the newest supernet minus that of the network cut from it.",
  );
  // The series is absent until a gap is measured: 0 would report a perfect one.
  gap.remove();
  for (const outcome of ["succeeded", "failed", "cancelled"]) outcomes.inc({ outcome }, 0);
  return {
    derived: async (run, signal) => {
      const started = performance.now();
      try {
        const result = await run();
        seconds.observe((performance.now() - started) / 1000);
        outcomes.inc({ outcome: "succeeded" });
        return result;
      } catch (error) {
        outcomes.inc({ outcome: signal.aborted ? "cancelled" : "failed" });
        throw error;
      }
    },
    gap: (ratio) => gap.set(ratio),
  };
}
