import { median, positive, summary } from "./measurement";

describe("a summary", () => {
  it("gives measured values, in any order", () => {
    expect(summary([5, 1, 4, 2, 3])).toEqual({ n: 5, min: 1, p25: 2, median: 3, p75: 4, p95: 5, max: 5 });
    expect(median([8, 2])).toBe(2);
    expect(summary([7])).toEqual({ n: 1, min: 7, p25: 7, median: 7, p75: 7, p95: 7, max: 7 });
  });

  it("rejects a flag that is not a count, by its name", () => {
    expect(positive("12", "--rounds")).toBe(12);
    for (const text of ["0", "-1", "1.5", "", "many", "1000000"])
      expect(() => positive(text, "--rounds")).toThrow(`--rounds is "${text}"`);
  });
});
