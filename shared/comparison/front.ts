/** The figures of a network that a Pareto front compares. */
export interface Rated {
  /** 0 to 1; more is better. */
  miou: number;
  /** Less is better. */
  comparedSeconds: number;
  /** Whether something tells against the latency. */
  isUnstable: boolean;
}

/**
 * For each point the index of the point that dominates it; undefined for those on the Pareto front. A point dominates another if it is at
 * least as fast and at least as accurate, and better in one of the two; so of two equal points neither dominates the other. An unstable point
 * dominates unstable ones only. Where several dominate a point, the answer is the one of the front with the largest mIoU. The figures must
 * be finite.
 */
export function dominators(points: readonly Rated[]): (number | undefined)[] {
  const found = new Array<number | undefined>(points.length).fill(undefined);
  const rated = points.map((point, index) => ({ ...point, index }));
  rated.sort((a, b) => a.comparedSeconds - b.comparedSeconds || b.miou - a.miou || a.index - b.index);
  type Point = (typeof rated)[number];
  /** The most accurate of the points so far, of all and of the stable ones; none of them is slower than the next. */
  const best: { ofAll?: Point; ofStable?: Point } = {};
  for (const point of rated) {
    const above = point.isUnstable ? best.ofAll : best.ofStable;
    if (
      above &&
      (point.miou < above.miou || (point.miou === above.miou && point.comparedSeconds > above.comparedSeconds))
    )
      found[point.index] = above.index;
    if (!best.ofAll || point.miou > best.ofAll.miou) best.ofAll = point;
    if (!point.isUnstable && (!best.ofStable || point.miou > best.ofStable.miou)) best.ofStable = point;
  }
  return found;
}
