import { startOf, withCalibration } from "./calibration";
import type { Clock } from "./sampling";
import { defaultSettings } from "./settings";

const never = new AbortController().signal;

interface Disturbances {
  /** By which a run takes longer. */
  factor?: (run: number) => number;
  /** Share of the time that each thread waits for a core. */
  waits?: number;
}

/** Calibration networks whose runs take `start` and a millisecond per unit, on two threads. */
function scripted(start: number, { factor = () => 1, waits = 0 }: Disturbances = {}) {
  let [now, runs] = [0, 0];
  const open = (units: number) =>
    Promise.resolve(() => {
      now += (start + units) * factor(runs++);
      return Promise.resolve();
    });
  const clock: Clock = {
    now: () => now,
    breathe: () => Promise.resolve(),
    waiting: () => {
      const began = now;
      return () => 2 * waits * (now - began);
    },
  };
  return startOf(open, 2, never, clock);
}

describe("the start of a run", () => {
  it.each([0, 0.2, 3])("is told from runs of one unit and of several: %p units", async (start) => {
    expect(await scripted(start)).toEqual({ units: expect.closeTo(start, 9) as number, isSure: true });
  });

  it("is told from the runs that other programs spare", async () => {
    // A group has nine runs; every fourth group is spared.
    const factor = (run: number) => (Math.floor(run / 9) % 4 === 0 ? 1 : 2 + (run % 3));
    expect((await scripted(0.2, { factor })).units).toBeCloseTo(0.2, 9);
  });

  it("is within bounds where runs of one unit take less than a unit, or as long as runs of several", async () => {
    const shorter = (run: number) => (run % 9 === 8 ? 3 : 1);
    expect((await scripted(0, { factor: shorter })).units).toBe(0);
    const longer = (run: number) => (run % 9 === 8 ? 0.01 : 1);
    expect((await scripted(0, { factor: longer })).units).toBe(48);
  });

  it("is a usual one on a busy machine, which cannot tell it", async () => {
    expect(await scripted(3, { waits: 0.06 })).toEqual({ units: 0.2, isSure: false });
    expect(await scripted(3, { waits: 0.04 })).toMatchObject({ isSure: true });
  });

  it("ends with the reason of an abort", async () => {
    const why = new Error("enough");
    const run = () => Promise.resolve(() => Promise.resolve());
    await expect(startOf(run, 1, AbortSignal.abort(why))).rejects.toBe(why);
  });

  it("is not measured where it is known", async () => {
    const settings = { ...defaultSettings("cpu", 1), signal: AbortSignal.abort() };
    const known = { units: 0.3, isSure: true };
    expect(await withCalibration({ ...settings, start: known }, ({ start }) => Promise.resolve(start))).toBe(known);
    await expect(withCalibration({ ...settings, start: undefined }, () => Promise.resolve())).rejects.toThrow();
  });
});
