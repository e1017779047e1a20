import { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { stableMeasurement } from "./repetition";

const of = (p50Seconds: number, stable: boolean, calibrationSeconds: number) =>
  LatencyFigures.fromPartial({ p50Seconds, stable, calibrationSeconds });

describe("a measurement for a search", () => {
  it.each([
    ["is not repeated where it is stable", [of(1, true, 5), of(2, true, 1)], 1, 1],
    ["is repeated until it is stable", [of(1, false, 1), of(2, true, 5), of(3, true, 1)], 2, 2],
    ["is the least disturbed of three where none is stable", [of(1, false, 3), of(2, false, 1), of(3, false, 2)], 2, 3],
    ["is the first of two that are equally disturbed", [of(1, false, 1), of(2, false, 1), of(3, false, 1)], 1, 3],
  ])("%s", async (_what, measurements, p50, times) => {
    let done = 0;
    const measure = () => Promise.resolve({ figures: measurements[done++]! });
    const { figures } = await stableMeasurement(measure, (measured) => measured.figures);
    expect([figures.p50Seconds, done]).toEqual([p50, times]);
  });
});
