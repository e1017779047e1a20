import { ratioOf, ratiosOf } from "./ratios";
import { keeping } from "./ratios.fixture";

const never = new AbortController().signal;
const model = (value: number) => () => Uint8Array.of(value);

interface TimerFaults {
  diesAfter?: number;
  /** Disturbed measurements of a model. */
  disturbed?: (value: number) => number;
}

/** A timer whose ratio for a model is its byte, and any other in the first measurements of each. It dies after some measurements. */
function timerOf(key: string, { diesAfter = Infinity, disturbed = () => 1 }: TimerFaults = {}) {
  const asked: number[] = [];
  const time = ([value = NaN]: Uint8Array) => {
    if (asked.length === diesAfter) return Promise.reject(new Error("killed"));
    const isDisturbed = asked.filter((one) => one === value).length < disturbed(value);
    asked.push(value);
    return Promise.resolve(
      isDisturbed ? { ratio: 7.7 / value, calibration: 3e-3 } : { ratio: value, calibration: 2e-3 },
    );
  };
  return { key, time, asked };
}

describe("the ratios of models", () => {
  it("leave out disturbed rounds, and equal models are measured once", async () => {
    const [timer, store] = [timerOf("cpu.20"), keeping()];
    const done: number[] = [];
    const { ratios } = await ratiosOf([3, 1, 3, 2].map(model), timer, store, never, (count) => done.push(count));
    expect(ratios).toEqual([3, 1, 3, 2]);
    expect(timer.asked).toEqual([3, 1, 2, 3, 1, 2]);
    expect(done).toEqual([0, 2, 3, 4, 6, 7, 8]);
  });

  it("are the geometric mean of the rounds that were not disturbed", () => {
    const of = (...rounds: [ratio: number, calibration: number][]) => ({
      rounds: rounds.map(([ratio, calibration]) => ({ ratio, calibration })),
    });
    expect(ratioOf(of([2, 1.09], [8, 1]), 1)).toBeCloseTo(4, 12);
    expect(ratioOf(of([2, 1.11], [8, 1]), 1)).toBeCloseTo(8, 12);
    // 2.19 is within a tenth of 2, the others are not.
    expect(ratioOf(of([7, 2.4], [7, 2.4], [3, 2.19]), 2)).toBeCloseTo(3, 12);
    // All were disturbed: those of the least count.
    expect(ratioOf(of([7, 4], [1, 2.4], [2, 2.5], [4, 2.6]), 2)).toBeCloseTo(2, 12);
  });

  it("are measured again where models before them were faster beside the calibration network", async () => {
    const slow = { key: "cpu.40", time: () => Promise.resolve({ ratio: 5, calibration: 3e-3 }) };
    const timings: number[] = [];
    const time = () => (timings.push(timings.length), slow.time());
    const { fastest } = await ratiosOf([model(1)], { key: slow.key, time }, keeping(), never, () => {});
    expect([fastest, timings.length]).toEqual([3e-3, 2]);
    const again = await ratiosOf([model(1)], { key: slow.key, time }, keeping(), never, () => {}, 2e-3);
    expect([again.fastest, timings.length]).toEqual([2e-3, 7]);
  });

  it("go on where a measurement was killed, and are known to the next", async () => {
    const store = keeping();
    const models = [5, 6, 7, 8].map(model);
    const killed = timerOf("cpu.20", { diesAfter: 6 });
    await expect(ratiosOf(models, killed, store, never, () => {})).rejects.toThrow("killed");
    const rest = timerOf("cpu.20", { disturbed: () => 0 });
    const done: number[] = [];
    await ratiosOf(models, rest, store, never, (count) => done.push(count));
    expect(rest.asked).toEqual([7, 8]);
    expect(done).toEqual([6, 7, 8]);
    const again = timerOf("cpu.20");
    await ratiosOf([...models].reverse(), again, store, never, () => {});
    expect(again.asked).toEqual([]);
  });

  it("are measured again where every round was disturbed, at most five times, also by a later table", async () => {
    const store = keeping();
    const disturbed = (value: number) => (value === 2 ? 3 : value === 3 ? 9 : 0);
    const timer = timerOf("cpu.20", { disturbed });
    const done: number[] = [];
    const { ratios } = await ratiosOf([1, 2, 3].map(model), timer, store, never, (count) => done.push(count));
    expect(ratios).toEqual([1, 2, 7.7 / 3]);
    expect(timer.asked).toEqual([1, 2, 3, 1, 2, 3, 2, 3, 2, 3, 3]);
    expect(done.at(-1)).toBe(6);
    const later = timerOf("cpu.20");
    await ratiosOf([1, 2, 3].map(model), later, store, never, () => {});
    expect(later.asked).toEqual([]);
  });

  it("are never those of another device", async () => {
    const store = keeping();
    await ratiosOf([model(4)], timerOf("other.20"), store, never, () => {});
    const own = timerOf("cpu.20");
    expect((await ratiosOf([model(4)], own, store, never, () => {})).ratios).toEqual([4]);
    expect(own.asked).toEqual([4, 4]);
  });

  it("end with the reason of an abort", async () => {
    const why = new Error("enough");
    const ratios = ratiosOf([model(1)], timerOf("cpu.20"), keeping(), AbortSignal.abort(why), () => {});
    await expect(ratios).rejects.toBe(why);
  });
});
