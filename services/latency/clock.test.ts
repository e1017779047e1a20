import { processClock, throttledMs, waitsOf } from "./clock";

test("waits of threads add up, from nanoseconds", () => {
  expect(waitsOf(["6842894672 264438570 1027\n", "12 1500000 3\n"])).toBeCloseTo(265.93857, 6);
  expect(waitsOf(["", "garbage"])).toBe(0);
});

test("throttling is read from the control group's cpu.stat, from microseconds", () => {
  expect(throttledMs("usage_usec 900\nnr_throttled 2\nthrottled_usec 2500\n")).toBe(2.5);
  expect(throttledMs("usage_usec 900\n")).toBe(0);
});

test("the waits of this process do not shrink", () => {
  const before = processClock.waitedMs();
  expect(before).toBeGreaterThanOrEqual(0);
  expect(processClock.waitedMs()).toBeGreaterThanOrEqual(before);
});
