/** Most measurements of a network, once one of them is stable, and while none is: what disturbs one is often gone later. */
export interface Most {
  stable: number;
  unstable: number;
}

/** `held` bounds the measurements of a network whose search holds a latency; `told` bounds those of one whose search only tells it. */
export const MOST = { held: { stable: 4, unstable: 8 }, told: { stable: 2, unstable: 3 } } satisfies Record<
  string,
  Most
>;

/** Two measurements agree where they differ by at most this share. */
const AGREED = 0.03;

/** How a measurement counts. */
interface Judged {
  stable: boolean;
  /** Time of a run over that of a unit of the calibration network (sparedRatio). */
  ratio: number;
}

/**
 * Measures until two stable measurements agree within 3 %, and gives the later of them. Where no two do, it gives the one in the middle of the
 * stable ones. Where none is stable, it gives the one in the middle of all.
 */
export async function agreedMeasurement<T>(
  measure: () => Promise<T>,
  judge: (measured: T) => Judged,
  most: Most,
): Promise<T> {
  const all: { measured: T; judged: Judged }[] = [];
  const hasStable = () => all.some(({ judged: { stable } }) => stable);
  while (all.length < (hasStable() ? most.stable : most.unstable)) {
    const measured = await measure();
    const judged = judge(measured);
    const agrees = all.some(({ judged: { stable, ratio } }) => stable && Math.abs(judged.ratio / ratio - 1) <= AGREED);
    if (judged.stable && agrees) return measured;
    all.push({ measured, judged });
  }
  const stable = all.filter(({ judged }) => judged.stable);
  const sorted = (stable.length > 0 ? stable : all).sort((a, b) => a.judged.ratio - b.judged.ratio);
  // Disturbances make a ratio larger more often than smaller.
  return (sorted[Math.ceil(sorted.length / 2) - 1] as (typeof all)[number]).measured;
}
