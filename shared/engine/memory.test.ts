import { EAGER, MemoryAccount, memoryBound } from "./account";
import { freeDeviceBytes } from "./device";
import { bytesOf, type Graph, type GraphNode, type Value } from "./graph";
import { eagerMemory, graphMemory, graphTraffic, total } from "./memory";

const value = (name: string, elements: number): Value => ({ name, shape: [elements], dtype: "float32" });
const node = (op: string, inputs: Value[], ...outputs: Value[]): GraphNode => ({
  ...{ op, inputs, outputs, name: `${op}_${outputs[0]?.name}`, domain: "", attributes: {} },
});
const [x, w] = [value("x", 100), value("w", 10)];
const [a, b, c, y] = [value("a", 1000), value("b", 500), value("c", 500), value("y", 1)];
const graph = (nodes: GraphNode[], outputs = [y]): Graph => ({
  ...{ inputs: [x], outputs, nodes },
  initializers: [{ value: w, data: new Uint8Array(40) }],
});
const activations = (...args: Parameters<typeof graph>) => graphMemory(graph(...args)).activations;

describe("memory of a graph", () => {
  it("is the largest sum of values that are live at once", () => {
    // Live values: a (1000); a and b (1500); a, b and c (2000); then b and c.
    const nodes = [node("Conv", [x, w], a), node("Conv", [a, w], b), node("Conv", [a, w], c), node("Gemm", [b, c], y)];
    expect(graphMemory(graph(nodes))).toEqual({ activations: 4 * 2000, constants: 40, inputs: 400, outputs: 4 });
    expect(total(graphMemory(graph(nodes)))).toBe(8000 + 40 + 400 + 4);
  });

  it("counts low types by their own size", () => {
    const [half, brain] = [
      { ...a, dtype: "float16" as const },
      { ...b, dtype: "bfloat16" as const },
    ];
    expect(activations([node("Cast", [x], half), node("Cast", [half], brain), node("Cast", [brain], y)])).toBe(
      2 * 1500,
    );
  });

  it("is smaller if values are needed one after the other", () => {
    const short = [node("Conv", [x, w], a), node("Conv", [a, w], b), node("Conv", [b, w], c), node("Gemm", [c], y)];
    expect(activations(short)).toBe(4 * 1500);
  });

  it("counts a reshaped value once, until the last read of either shape", () => {
    const flat = value("flat", 1000);
    const nodes = [
      node("Conv", [x, w], a),
      node("Reshape", [a], flat),
      node("Conv", [x], b),
      node("Gemm", [flat, b], y),
    ];
    expect(activations(nodes)).toBe(4 * 1500);
  });

  it("lets an elementwise operator overwrite its input only after the last other read", () => {
    const d = value("d", 500);
    const ends = [node("Conv", [x], b), node("Relu", [b], c), node("Gemm", [c], y)];
    expect(activations(ends)).toBe(4 * 500);
    expect(activations([...ends.slice(0, 2), node("Gemm", [b, c], y)])).toBe(4 * 1000);
    // The input belongs to the caller.
    expect(activations([node("Relu", [x], value("e", 100)), node("Conv", [x], d), node("Gemm", [d], y)])).toBe(4 * 500);
  });

  it("does not count outputs of the graph, and frees values without readers at once", () => {
    const nodes = [node("Split", [x], a, b), node("Conv", [x], c), node("Gemm", [c], y)];
    expect(activations(nodes, [y])).toBe(4 * 1500);
    expect(activations(nodes, [a, y])).toBe(4 * 500);
  });
});

it("the traffic of a graph counts each input and output of its operators, and nothing of a reshape", () => {
  const flat = value("flat", 1000);
  const nodes = [node("Conv", [x, w], a), node("Reshape", [a], flat), node("Gemm", [flat, b], y)];
  expect(graphTraffic(graph(nodes))).toBe(4 * (100 + 10 + 1000 + 1000 + 500 + 1));
});

describe("the memory of an eager engine", () => {
  const made = (kernel: string, op: string, inputs: Value[], output: Value): GraphNode => ({
    ...node(op, inputs, output),
    origin: { part: "", kernel, derivativeOf: "" },
  });

  it("holds all values that operations hand on, without those inside one of our own", () => {
    const nodes = [made("LatheConv", "Pad", [x], a), made("LatheConv", "Conv", [a, w], b)];
    expect(eagerMemory(graph([...nodes, made("Relu", "Relu", [b], c), made("Relu", "Relu", [c], y)])).activations).toBe(
      bytesOf(b) + bytesOf(c),
    );
  });

  it("is that of the largest step, because only one runs at a time", () => {
    const step = graph([node("Conv", [x, w], b), node("Gemm", [b], y)]);
    const account = new MemoryAccount(10_000, () => 1000, EAGER);
    account.admit("weights", step);
    const held = account.bytes();
    account.admit("alphas", step);
    expect(account.bytes()).toBe(held);
    expect(held).toBeGreaterThan(1000);
  });
});

describe("a memory account", () => {
  const step = graph([node("Conv", [x, w], b), node("Gemm", [b], y)]);
  const bytes = 2000 + 40 + 400 + 4;

  it("sums the process and its steps, without released steps", () => {
    const account = new MemoryAccount(10_000, () => 1000);
    expect(account.bytes()).toBe(0);
    const release = account.admit("weights", step);
    account.admit("alphas", step);
    expect(account.bytes()).toBe(1000 + 2 * bytes);
    release();
    expect(account.bytes()).toBe(1000 + bytes);
  });

  it("rejects a step beyond the bound, names estimate and bound, and does not count the step", () => {
    const account = new MemoryAccount(1000 + 2 * bytes - 1, () => 1000);
    account.admit("weights", step);
    expect(() => account.admit("alphas", step)).toThrow(
      expect.objectContaining({
        code: "FAILED_PRECONDITION",
        reason: "MEMORY_EXCEEDED",
        metadata: { step: "alphas", estimate_bytes: String(1000 + 2 * bytes), bound_bytes: String(999 + 2 * bytes) },
      }) as Error,
    );
    expect(account.bytes()).toBe(1000 + bytes);
  });
});

describe("the bound of an account", () => {
  it("is what was set, or what the machine has or the GPU has free", () => {
    const free = () => 5 * 2 ** 30;
    expect(memoryBound("cuda", 2 ** 20, free)).toBe(2 ** 20);
    expect(memoryBound("cuda", 0, free)).toBe(5 * 2 ** 30);
    expect(memoryBound("tensorrt", 0, () => 0)).toBe(0);
    expect(memoryBound("cuda", 0, () => undefined)).toBe(Infinity);
    expect(memoryBound("cpu", 0, free)).toBeGreaterThan(0);
  });

  it.each([
    [["81079"], 81079 * 2 ** 20],
    [["0"], 0],
    [["[N/A]"], undefined],
    [undefined, undefined],
  ])("takes the driver's answer %p", (answer, bytes) => expect(freeDeviceBytes(() => answer)).toBe(bytes));
});
