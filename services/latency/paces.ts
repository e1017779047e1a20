import { summarise } from "./figures";
import type { Measured } from "./network";
import type { RunStart } from "./sampling";
import type { ProfilingSettings } from "./settings";

/** What earlier measurements in quiet moments have told of the calibration network on a device. */
export interface QuietPace {
  start: RunStart;
  /** Seconds of a unit: the shortest median of a stable measurement. */
  unitSeconds: number;
}

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
