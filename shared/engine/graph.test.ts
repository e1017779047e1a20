import { checkGraph, eliminateDeadCode, type Graph, type GraphNode, type Value } from "./graph";

const value = (name: string, shape: number[] = [2, 3], dtype: Value["dtype"] = "float32"): Value => ({
  name,
  shape,
  dtype,
});
const node = (name: string, op: string, inputs: Value[], outputs: Value[]): GraphNode => ({
  name,
  op,
  domain: "",
  inputs,
  outputs,
  attributes: {},
});

const x = value("x");
const sound: Graph = {
  inputs: [x],
  outputs: [value("y")],
  nodes: [node("n0", "Relu", [x], [value("h")]), node("n1", "Add", [value("h"), value("c", [1])], [value("y")])],
  initializers: [{ value: value("c", [1]), data: new Uint8Array(4) }],
};

describe("checkGraph", () => {
  it("accepts a valid graph", () => {
    expect(() => checkGraph(sound)).not.toThrow();
  });

  it.each<[string, Partial<Graph>, RegExp]>([
    [
      "a use before the definition",
      { nodes: sound.nodes.toReversed() },
      /node "n1" \(Add\) uses "h" before it is defined/,
    ],
    ["an undefined output", { outputs: [value("z")] }, /the outputs uses "z" before it is defined/],
    [
      "a value defined twice",
      { nodes: [...sound.nodes, node("n2", "Neg", [x], [value("y")])] },
      /"y" is defined a second time by node "n2"/,
    ],
    [
      "two nodes of one name",
      { nodes: sound.nodes.map((n) => ({ ...n, name: "n" })) },
      /node "n" \(Add\) needs a name of its own/,
    ],
    [
      "a shape that changes between definition and use",
      { outputs: [value("y", [3, 2])] },
      /takes "y" for float32\[3,2\], it is float32\[2,3\]/,
    ],
    [
      "a type that changes between definition and use",
      { outputs: [value("y", [2, 3], "int32")] },
      /takes "y" for int32\[2,3\]/,
    ],
    [
      "an initializer of the wrong length",
      { initializers: [{ value: value("c", [1]), data: new Uint8Array(5) }] },
      /"c" has 5 bytes, must have 4/,
    ],
    ["an unknown size", { inputs: [value("x", [2, Number.NaN])] }, /"x" of the inputs has shape \[2,NaN\]/],
    [
      "a reshape that loses elements",
      { nodes: [node("n0", "Reshape", [x], [value("y", [5])])], outputs: [] },
      /turns float32\[2,3\] into float32\[5\]/,
    ],
    [
      "a matrix product that does not fit",
      { nodes: [node("n0", "MatMul", [x, x], [value("y")])], outputs: [] },
      /multiplies float32\[2,3\] by float32\[2,3\]/,
    ],
    [
      "a concatenation that loses elements",
      { nodes: [node("n0", "Concat", [x, x], [value("y")])], outputs: [] },
      /makes float32\[2,3\] of/,
    ],
  ])("refuses %s", (_, change, message) => {
    expect(() => checkGraph({ ...sound, ...change })).toThrow(message);
  });
});

describe("eliminateDeadCode", () => {
  it("removes nodes and constants that no output needs, and keeps the inputs", () => {
    const unused = [node("n2", "Neg", [x], [value("dead")]), node("n3", "Neg", [value("dead")], [value("deader")])];
    const spare = { value: value("d", [1]), data: new Uint8Array(4) };
    const graph = {
      ...sound,
      inputs: [x, value("unused")],
      nodes: [...unused, ...sound.nodes],
      initializers: [...sound.initializers, spare],
    };
    expect(eliminateDeadCode(graph)).toEqual({ ...sound, inputs: [x, value("unused")] });
  });
});
