import { matches, parseObjects, quantity } from "./objects";

it.each([
  ["250m", 0.25],
  ["1.5", 1.5],
  [2, 2],
  ["1Gi", 2 ** 30],
  ["2M", 2e6],
  ["512Ki", 2 ** 19],
  ["4 GB", NaN],
  ["one", NaN],
])("the quantity %p is %p", (text, value) => expect(quantity(text)).toBe(value));

it.each([
  [{}, true],
  [{ matchLabels: { a: "1" } }, true],
  [{ matchLabels: { a: "1", c: "1" } }, false],
  [{ matchExpressions: [{ key: "a", operator: "In", values: ["1", "2"] }] }, true],
  [{ matchExpressions: [{ key: "c", operator: "In", values: ["1"] }] }, false],
  [{ matchExpressions: [{ key: "c", operator: "NotIn", values: ["1"] }] }, true],
  [{ matchExpressions: [{ key: "b", operator: "NotIn", values: ["2"] }] }, false],
  [{ matchExpressions: [{ key: "b", operator: "Exists" }] }, true],
  [{ matchExpressions: [{ key: "b", operator: "DoesNotExist" }] }, false],
])("%j matches the labels a=1, b=2: %p", (selector, expected) => {
  expect(matches(selector, { a: "1", b: "2" })).toBe(expected);
});

it("empty documents are dropped, and invalid YAML is a fault", () => {
  expect(parseObjects("---\n# nothing\n---\nkind: A\n---\nkind: B\n")).toEqual([{ kind: "A" }, { kind: "B" }]);
  expect(() => parseObjects("a: [")).toThrow();
});
