import { ratiosOf } from "./ratios";
import { keeping } from "./ratios.fixture";

const never = new AbortController().signal;
const model = (value: number) => () => Uint8Array.of(value);

/** A timer whose ratio for a model is its byte, and half more in the first measurement of each. It dies after some measurements. */
function timerOf(key: string, diesAfter = Infinity) {
  const asked: number[] = [];
  const ratio = ([value = NaN]: Uint8Array) => {
    if (asked.length === diesAfter) return Promise.reject(new Error("killed"));
    const disturbed = asked.includes(value) ? value : 1.5 * value;
    asked.push(value);
    return Promise.resolve(disturbed);
  };
  return { key, ratio, asked };
}

describe("the ratios of models", () => {
  it("are the lowest of two rounds, and equal models are measured once", async () => {
    const [timer, store] = [timerOf("cpu.20"), keeping()];
    const done: number[] = [];
    const ratios = await ratiosOf([3, 1, 3, 2].map(model), timer, store, never, (count) => done.push(count));
    expect(ratios).toEqual([3, 1, 3, 2]);
    expect(timer.asked).toEqual([3, 1, 2, 3, 1, 2]);
    expect(done).toEqual([0, 2, 3, 4, 6, 7, 8]);
  });

  it("go on where a measurement was killed, and are known to the next", async () => {
    const store = keeping();
    const models = [5, 6, 7, 8].map(model);
    const killed = timerOf("cpu.20", 6);
    await expect(ratiosOf(models, killed, store, never, () => {})).rejects.toThrow("killed");
    const rest = timerOf("cpu.20");
    const done: number[] = [];
    await ratiosOf(models, rest, store, never, (count) => done.push(count));
    expect(rest.asked).toEqual([7, 8]);
    expect(done).toEqual([6, 7, 8]);
    const again = timerOf("cpu.20");
    await ratiosOf([...models].reverse(), again, store, never, () => {});
    expect(again.asked).toEqual([]);
  });

  it("are never those of another device", async () => {
    const store = keeping();
    await ratiosOf([model(4)], timerOf("other.20"), store, never, () => {});
    const own = timerOf("cpu.20");
    expect(await ratiosOf([model(4)], own, store, never, () => {})).toEqual([4]);
    expect(own.asked).toEqual([4, 4]);
  });

  it("end with the reason of an abort", async () => {
    const why = new Error("enough");
    const ratios = ratiosOf([model(1)], timerOf("cpu.20"), keeping(), AbortSignal.abort(why), () => {});
    await expect(ratios).rejects.toBe(why);
  });
});
