import { processClock, throttledMs, waitsBetween } from "./clock";

describe("the waits of threads", () => {
  const of = (...schedstats: string[]) => new Map(schedstats.map((schedstat, id) => [`${id}`, schedstat]));

  it("add up from nanoseconds, since the beginning", () => {
    const before = of("1000000000 200000000 7\n", "2000000000 5000000 3\n");
    const after = of("2000000000 264000000 1027\n", "2900000000 6500000 9\n");
    expect(waitsBetween(before, after)).toBeCloseTo(64 + 1.5, 9);
  });

  it("count a thread that began meanwhile, and none that hardly ran", () => {
    const before = of("1000000000 0 1\n");
    const after = of("2000000000 1000000 2\n", "500000000 2000000 2\n", "99000000 700000000 900\n");
    expect(waitsBetween(before, after)).toBeCloseTo(1 + 2, 9);
  });

  it("are 0 where the system does not count them", () => {
    expect(waitsBetween(of("", "garbage"), of("", "garbage"))).toBe(0);
    expect(waitsBetween(of(), of())).toBe(0);
  });
});

test("throttling is read from the control group's cpu.stat, from microseconds", () => {
  expect(throttledMs("usage_usec 900\nnr_throttled 2\nthrottled_usec 2500\n")).toBe(2.5);
  expect(throttledMs("usage_usec 900\n")).toBe(0);
});

test("the waits of this process do not shrink", () => {
  const waited = processClock.waiting();
  const first = waited();
  expect(first).toBeGreaterThanOrEqual(0);
  expect(waited()).toBeGreaterThanOrEqual(0);
});
