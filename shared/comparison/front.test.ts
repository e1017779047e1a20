import { uniform } from "../testing/spaces";
import { dominators, type Rated } from "./front";

const dominates = (a: Rated, b: Rated) =>
  (!a.isUnstable || b.isUnstable) &&
  a.miou >= b.miou &&
  a.comparedSeconds <= b.comparedSeconds &&
  (a.miou > b.miou || a.comparedSeconds < b.comparedSeconds);

/** By the definition: compares every point with every other. */
function bruteForce(points: readonly Rated[]): (number | undefined)[] {
  const above = points.map((point) => points.flatMap((other, index) => (dominates(other, point) ? [index] : [])));
  const onFront = above.map(({ length }) => length === 0);
  return above.map((indices) => {
    const front = indices.filter((index) => onFront[index]);
    // The largest mIoU, then the fastest, then the first.
    const [best] = front.sort(
      (a, b) => points[b]!.miou - points[a]!.miou || points[a]!.comparedSeconds - points[b]!.comparedSeconds || a - b,
    );
    return best;
  });
}

const point = (miou: number, ms: number): Rated => ({ miou, comparedSeconds: ms / 1000, isUnstable: false });
const shaky = (miou: number, ms: number): Rated => ({ ...point(miou, ms), isUnstable: true });

describe("the Pareto front", () => {
  it.each([
    ["of nothing is empty", [], []],
    ["of one point is that point", [point(0.4, 3)], [undefined]],
    ["has the faster and the more accurate", [point(0.4, 3), point(0.5, 4)], [undefined, undefined]],
    ["leaves out what is slower and less accurate", [point(0.4, 4), point(0.5, 3)], [1, undefined]],
    ["leaves out what is slower at equal mIoU", [point(0.5, 4), point(0.5, 3)], [1, undefined]],
    ["leaves out what is less accurate at equal latency", [point(0.4, 3), point(0.5, 3)], [1, undefined]],
    ["has both of two equal points", [point(0.5, 3), point(0.5, 3), point(0.4, 3)], [undefined, undefined, 0]],
    [
      "names the most accurate network that dominates",
      [point(0.3, 9), point(0.4, 3), point(0.5, 5)],
      [2, undefined, undefined],
    ],
    [
      "has a stable point that an unstable one exceeds",
      [shaky(0.6, 1), point(0.5, 3), point(0.4, 4)],
      [undefined, undefined, 1],
    ],
    ["leaves out an unstable point that a stable one exceeds", [shaky(0.4, 4), point(0.5, 3)], [1, undefined]],
    [
      "leaves out an unstable point that an unstable one exceeds, and names it",
      [point(0.5, 3), shaky(0.6, 2), shaky(0.4, 4)],
      [undefined, undefined, 1],
    ],
  ] as [string, Rated[], (number | undefined)[]][])("%s", (_, points, expected) => {
    expect(dominators(points)).toEqual(expected);
  });

  it.each(Array.from({ length: 50 }, (_, seed) => seed))("is that of the definition for random points (%d)", (seed) => {
    const random = uniform(seed);
    // Coarse steps, so that many points are equal in one figure or in both.
    const steps = seed % 2 === 0 ? 5 : 1e6;
    const draw = () => Math.floor(random() * steps) / steps;
    const points = Array.from({ length: seed }, () => (random() < 0.3 ? shaky : point)(draw(), 1 + draw()));
    const found = dominators(points);
    expect(found).toEqual(bruteForce(points));
    // Removing every dominated point changes nothing: no point of a front dominates another of it.
    const front = points.filter((_, index) => found[index] === undefined);
    expect(dominators(front)).toEqual(front.map(() => undefined));
    // The order of the points decides nothing but which of equal points is named.
    const backwards = dominators([...points].reverse()).reverse();
    expect(backwards.map((one) => one === undefined)).toEqual(found.map((one) => one === undefined));
  });
});
