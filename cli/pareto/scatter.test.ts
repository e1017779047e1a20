import { scatter, type Mark } from "./scatter";

const axes = { columns: 9, rows: 3, x: (value: number) => `${value} ms`, y: (value: number) => `${value} %` };
const point = (x: number, y: number, mark: string): Mark => ({ x, y, mark });

describe("a text plot", () => {
  it("has the smallest values at the lower left and its ends in words", () => {
    expect(scatter([point(1, 10, "A"), point(3, 30, "B"), point(2, 20, "c")], axes)).toEqual([
      "30 % |        B",
      "     |    c",
      "10 % |A",
      "     +---------",
      "      1 ms  3 ms",
    ]);
  });

  it("draws the later of two marks in one place", () => {
    expect(scatter([point(1, 1, "b"), point(1, 1, "A"), point(2, 2, "C")], axes)[2]).toBe("1 % |A");
  });

  it("has points of one value in the middle", () => {
    expect(scatter([point(5, 7, "A")], axes)).toEqual([
      ...["7 % |", "    |    A", "7 % |", "    +---------"],
      "       5 ms",
    ]);
  });
});
