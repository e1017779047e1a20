import { agreedMeasurement, MOST, type Most } from "./repetition";

const stable = (ratio: number) => ({ ratio, stable: true });
const unstable = (ratio: number) => ({ ratio, stable: false });

/** The ratio that counts of these measurements, and how many of them were made. */
async function repeated(measurements: ReturnType<typeof stable>[], most: Most): Promise<[ratio: number, done: number]> {
  let done = 0;
  const { ratio } = await agreedMeasurement(
    () => Promise.resolve(measurements[done++]!),
    (measured) => measured,
    most,
  );
  return [ratio, done];
}

describe("a measurement for a search", () => {
  it.each([
    ["is repeated once where both agree within 3 %", [stable(10), stable(10.29)], 10.29],
    ["is repeated until two stable ones agree", [stable(10), unstable(10), stable(10.31), stable(9.9)], 9.9],
    ["is the one in the middle where none agree", [stable(10), stable(13), stable(11.5), stable(17)], 11.5],
    ["is the one in the middle of the stable ones", [stable(10), unstable(9), stable(13), stable(12)], 12],
    ["is the lower of two", [stable(13), unstable(9), unstable(8), stable(12)], 12],
    [
      "is the one in the middle of eight where none is stable",
      [9, 3, 8, 4, 7, 6, 5, 2].map((ratio) => unstable(ratio)),
      5,
    ],
    ["goes on where the first stable one comes late", [...[9, 3, 8, 4, 7].map(unstable), stable(6)], 6],
  ])("that holds a latency %s", async (_what, measurements, chosen) => {
    expect(await repeated(measurements, MOST.held)).toEqual([chosen, measurements.length]);
  });

  it.each([
    ["is repeated once where both agree", [stable(10), stable(10.29)], 10.29],
    ["is the lower of two stable ones", [stable(13), stable(12)], 12],
    ["ends with a second one that is not stable", [stable(10), unstable(10)], 10],
    ["is the one in the middle of three where none is stable", [9, 3, 8].map(unstable), 8],
  ])("that only tells a latency %s", async (_what, measurements, chosen) => {
    expect(await repeated(measurements, MOST.told)).toEqual([chosen, measurements.length]);
  });
});
