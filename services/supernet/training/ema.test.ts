import { moveAverage } from "./ema";

it("the average has the values of its recurrence, also in the first steps, whose decay is smaller", () => {
  const average = { weights: Float32Array.of(1, -2), stats: Float32Array.of(4) };
  const weights = [1, -2];
  for (let step = 1; step <= 40; step++) {
    const values = { weights: Float32Array.of(step, 3), stats: Float32Array.of(4) };
    moveAverage(average, values, 0.75, step);
    // (1 + step) / (10 + step) reaches 0.75 at step 26.
    const decay = step < 26 ? (1 + step) / (10 + step) : 0.75;
    weights.forEach((value, i) => (weights[i] = decay * value + (1 - decay) * values.weights[i]!));
    average.weights.forEach((value, i) => expect(value).toBeCloseTo(weights[i]!, 4));
  }
  expect([...average.stats]).toEqual([4]);
});
