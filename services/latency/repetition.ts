import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";

/** Measurements of a network for a search. What disturbs one for seconds is often gone in the next. */
const MOST = 3;

/**
 * The first stable measurement of a network. Where none of three is, the one during which the calibration network ran fastest: other programs
 * have disturbed it least.
 */
export async function stableMeasurement<T>(
  measure: () => Promise<T>,
  figuresOf: (measured: T) => Pick<LatencyFigures, "stable" | "calibrationSeconds">,
): Promise<T> {
  let best: { measured: T; seconds: number } | undefined;
  for (let attempt = 1; ; attempt++) {
    const measured = await measure();
    const { stable, calibrationSeconds: seconds } = figuresOf(measured);
    if (stable) return measured;
    if (!best || seconds < best.seconds) best = { measured, seconds };
    if (attempt === MOST) return best.measured;
  }
}
