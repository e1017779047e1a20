import { summarise } from "./figures";
import type { Measured } from "./network";
import type { QuietPace } from "./sampling";
import type { ProfilingSettings } from "./settings";

type Runtime = Pick<ProfilingSettings, "provider" | "threads">;

const keyOf = ({ provider, threads }: Runtime): string => `${provider} ${threads}`;

/** The quiet paces that a process has learned, by provider and threads. */
export class QuietPaces {
  private readonly paces = new Map<string, QuietPace>();

  of(runtime: Runtime): QuietPace | undefined {
    return this.paces.get(keyOf(runtime));
  }

  /** Learns from the measurements that are stable. The first start of a run stays: a unit of another start is another unit. */
  learn(runtime: Runtime, measured: readonly Measured[]): void {
    for (const { samples, conditions } of measured) {
      const { stable, calibrationSeconds } = summarise(samples, conditions);
      const known = this.of(runtime);
      const start = known?.start ?? samples.start;
      if (!stable || !start?.isSure) continue;
      this.paces.set(keyOf(runtime), {
        start,
        unitSeconds: Math.min(known?.unitSeconds ?? Infinity, calibrationSeconds),
      });
    }
  }
}
