/** Most measurements of a network for a search. What disturbs one for seconds is often gone in the next. */
const MOST = 4;
/** Two measurements agree where they differ by at most this share. */
const AGREED = 0.03;

/** How a measurement counts. */
interface Judged {
  stable: boolean;
  /** Time of a run over that of a unit of the calibration network (sparedRatio). */
  ratio: number;
}

/**
 * Measures until two stable measurements agree within 3 %, and gives the later of them. Where no two of four do, it gives the one in the middle
 * of the stable ones, or of all where none is stable.
 */
export async function agreedMeasurement<T>(measure: () => Promise<T>, judge: (measured: T) => Judged): Promise<T> {
  const all: { measured: T; judged: Judged }[] = [];
  while (all.length < MOST) {
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
