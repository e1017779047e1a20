import { Repair, TargetFigures } from "../../shared/proto/lathe/v1/result";
import { newestSeconds } from "./target";

/** Figures of networks as [predicted, measured], the derived one first. */
const figures = (networks: readonly (readonly [number, number])[], unstable: number[] = []) => {
  const [[predictedSeconds, derivedSeconds], ...repaired] = networks as [[number, number], ...[number, number][]];
  const repairs = repaired.map(([predicted, measured], index) =>
    Repair.fromPartial({ number: index + 1, predictedSeconds: predicted, measuredSeconds: measured }),
  );
  return TargetFigures.fromPartial({ predictedSeconds, derivedSeconds, repairs, unstable });
};
const secondsOf = (...given: Parameters<typeof figures>) => newestSeconds(figures(...given)).measuredSeconds;

describe("the seconds of the newest network", () => {
  it("are its prediction times the mean ratio of the networks like it", () => {
    expect(secondsOf([[10, 12]])).toBeCloseTo(12, 12);
    expect(secondsOf([[10, 12], [9, 9]])).toBeCloseTo(9 * Math.sqrt(1.2), 12); // prettier-ignore
    // The first takes 4 times as long as the newest, so it says less about it.
    expect(secondsOf([[40, 48], [10, 11], [9, 9]])).toBeCloseTo(9 * Math.sqrt(1.1), 12); // prettier-ignore
    // Without others, it is all that is known.
    expect(secondsOf([[40, 48], [10, 0]])).toBeCloseTo(12, 12); // prettier-ignore
  });

  it("leave out unstable measurements, unless there are no others", () => {
    const networks = [[10, 11], [9, 3]] as const; // prettier-ignore
    expect(secondsOf(networks, [1])).toBeCloseTo(9.9, 12);
    expect(secondsOf(networks, [0])).toBeCloseTo(3, 12);
    expect(secondsOf(networks, [0, 1])).toBeCloseTo(9 * Math.sqrt(1.1 / 3), 12);
  });
});
