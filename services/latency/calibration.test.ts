import { startOf, withCalibration } from "./calibration";
import { defaultSettings } from "./settings";

/** Calibration networks whose runs take `start` and a millisecond per unit, and longer in most groups by the factors of others. */
function scripted(start: number, disturbed: (run: number) => number = () => 1) {
  let now = 0;
  let runs = 0;
  const open = (units: number) =>
    Promise.resolve(() => {
      now += (start + units) * disturbed(runs++);
      return Promise.resolve();
    });
  return { open, clock: { now: () => now } };
}

describe("the start of a run", () => {
  it.each([0, 0.2, 3])("is told from runs of one unit and of several: %p units", async (start) => {
    const { open, clock } = scripted(start);
    expect(await startOf(open, clock)).toBeCloseTo(start, 9);
  });

  it("is told from the runs that other programs spare", async () => {
    // A group has nine runs; every fourth group is spared.
    const { open, clock } = scripted(0.2, (run) => (Math.floor(run / 9) % 4 === 0 ? 1 : 2 + (run % 3)));
    expect(await startOf(open, clock)).toBeCloseTo(0.2, 9);
  });

  it("is a number of units on this machine", async () => {
    const start = await withCalibration(defaultSettings("cpu", 1), (calibration) => Promise.resolve(calibration.start));
    expect(start).toBeGreaterThanOrEqual(0);
    expect(start).toBeLessThan(60);
  });
});
