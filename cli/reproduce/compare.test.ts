import { differences } from "./compare";

describe("differences", () => {
  it.each([
    ["equal values", { a: [1, { b: "x" }] }, { a: [1, { b: "x" }] }],
    ["last digits of a number", { p: 0.1 + 0.2 }, { p: 0.3 }],
    ["a field that is undefined", { a: 1, b: undefined }, { a: 1 }],
  ])("do not count %s", (_, found, derived) => expect(differences(found, derived)).toEqual([]));

  it("name the path, what is there and what was derived", () =>
    expect(
      differences(
        { stages: [{ depth: 2 }, {}], miou: 0.5, name: "a" },
        { stages: [{ depth: 3 }], miou: 0.500001, name: "a" },
      ),
    ).toEqual([
      "stages[0].depth is 2, derived 3",
      "stages[1] is {}, derived not there",
      "miou is 0.5, derived 0.500001",
    ]));
});
