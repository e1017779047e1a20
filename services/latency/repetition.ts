import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";

/** Measurements of a network for a search. What disturbs one for seconds is often gone in the next. */
const MOST = 3;

/**
 * The first stable measurement of a network. Where none of three is, the one during which the calibration network ran fastest: other programs
 * have disturbed it least.
 */
export async function stableMeasurement(measure: () => Promise<LatencyFigures | undefined>) {
  let best: LatencyFigures | undefined;
  for (let attempt = 1; attempt <= MOST; attempt++) {
    const figures = await measure();
    if (figures?.stable !== false) return figures;
    if (!best || figures.calibrationSeconds < best.calibrationSeconds) best = figures;
  }
  return best;
}
