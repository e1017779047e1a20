/** The two figures of a network that a Pareto front compares. */
export interface Rated {
  /** 0 to 1; more is better. */
  miou: number;
  /** Less is better. */
  p50Seconds: number;
}

/**
 * For each point the index of the point that dominates it; undefined for those on the Pareto front. A point dominates another if it is at
 * least as fast and at least as accurate, and better in one of the two; so of two equal points neither dominates the other. Where several
 * dominate a point, the answer is the one of the front with the largest mIoU. The figures must be finite.
 */
export function dominators(points: readonly Rated[]): (number | undefined)[] {
  const found = new Array<number | undefined>(points.length).fill(undefined);
  const rated = points.map((point, index) => ({ ...point, index }));
  rated.sort((a, b) => a.p50Seconds - b.p50Seconds || b.miou - a.miou || a.index - b.index);
  /** The most accurate of the points so far, none of which is slower than the next. */
  let best: (typeof rated)[number] | undefined;
  for (const point of rated) {
    if (!best || point.miou > best.miou) best = point;
    else if (point.miou < best.miou || point.p50Seconds > best.p50Seconds) found[point.index] = best.index;
  }
  return found;
}
