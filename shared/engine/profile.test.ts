import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "./engine";
import { familyOf } from "./family";
import { batchNorm } from "./ops/batchNorm";
import { conv2d } from "./ops/conv2d";
import { maxPool2x2 } from "./ops/maxPool";
import { relu } from "./ops/relu";
import { measureOverhead, Profiles, summarise, type ProfileEvent } from "./profile";
import { scoped } from "./scope";
import type { Signature, Step } from "./signature";
import { tf } from "./tf";
import { trace } from "./tracer";

const folder = mkdtempSync(join(tmpdir(), "lathe-profile-"));
afterAll(() => rmSync(folder, { recursive: true }));

const float = (shape: number[]) => ({ shape, dtype: "float32" as const });
const signature: Signature = {
  x: float([2, 8, 8, 8]),
  first: float([8, 8, 3, 1]),
  second: float([8, 8, 1, 3]),
  gamma: float([8]),
  beta: float([8]),
};

/** Two parts, the second a convolution of the pooled first; derivatives by all weights. */
const step: Step = (inputs) => {
  const { x, ...weights } = inputs;
  const { value, grads } = tf.engine().gradients(() => {
    const { first, second, gamma, beta } = weights as Record<"first" | "second" | "gamma" | "beta", tf.Tensor>;
    const body = scoped("body", () => relu(batchNorm(conv2d(x as tf.Tensor, first), gamma, beta, 1e-3).y));
    const head = scoped("head", () => conv2d(maxPool2x2(body), second));
    return scoped("loss", () => tf.sum<tf.Scalar>(tf.square(head)));
  }, Object.values(weights));
  return { value, ...Object.fromEntries(grads.map((grad, at) => [`grad${at}`, grad])) };
};

const { graph } = trace(step, signature);
const told = graph.nodes.map((node) => ({
  ...(node.origin ?? { part: "?", derivativeOf: "?" }),
  family: familyOf(node.op, node.origin),
  name: node.name,
}));

describe("a traced graph", () => {
  it("names every node by its part, derivatives by that of their op", () => {
    expect(new Set(told.map(({ part }) => part))).toEqual(new Set(["body", "head", "loss"]));
    expect(told.every(({ name, part }) => name.startsWith(`${part}/`))).toBe(true);
    const parts = (family: string) => [
      ...new Set(told.filter((node) => node.family === family).map(({ part }) => part)),
    ];
    expect(parts("convolution, forward")).toEqual(["body", "head"]);
    expect(parts("convolution, weight gradient")).toEqual(["head", "body"]);
    // The images have no derivative.
    expect(parts("convolution, input gradient")).toEqual(["head"]);
    expect(parts("norm")).toEqual(["body"]);
    expect(parts("pooling")).toEqual(["head"]);
  });

  it("counts the matrix product of a segment sum as a reduction, not as a resize", () => {
    const origin = { part: "body", kernel: "UnsortedSegmentSum", derivativeOf: "GatherV2" };
    expect(familyOf("MatMul", origin)).toBe("reduction");
  });

  it("is without parts where the builder names none", () => {
    const plain = trace(({ x }) => ({ y: (x as tf.Tensor).add(1) }), { x: float([2]) });
    expect(plain.graph.nodes.map(({ name, origin }) => [name, origin?.part])).toEqual([["Add_0", ""]]);
  });
});

describe("a summary", () => {
  const node = (name: string, ts: number, dur: number): ProfileEvent => ({
    ...{ cat: "Node", name: `${name}_kernel_time`, ts, dur },
    args: { op_name: "Op" },
  });
  const run = (ts: number): ProfileEvent => ({ cat: "Session", name: "model_run", ts, dur: 90 });
  const name = told.find(({ family }) => family === "norm")?.name ?? "";

  it("takes the median over the runs after the warm-up, less the profiler's own time, at least 0", () => {
    const events = [0, 100, 200, 300].flatMap((ts) => [
      run(ts),
      node(name, ts + 5, ts + 7),
      node("ReorderInput", ts + 20, 3),
    ]);
    expect(summarise(events, graph, 1, 4e-6)).toEqual({
      runs: 3,
      runSeconds: 90e-6,
      times: [
        { part: "body", family: "norm", op: "Op", nodes: 1, seconds: expect.closeTo(203e-6, 9) as number },
        { part: "other", family: "other", op: "Op", nodes: 1, seconds: 0 },
      ],
    });
  });

  it("knows a fused node by the node that its name begins with", () => {
    const fused = [run(0), node(`${name}_nchwc`, 1, 2), node(`${name}/MatmulTransposeFusion/`, 2, 2)];
    expect(summarise(fused, graph, 0, 0).times).toMatchObject([{ part: "body", family: "norm", nodes: 2 }]);
  });

  it("refuses a profile that holds no run after the warm-up", () => {
    expect(() => summarise([run(0)], graph, 1, 0)).toThrow("holds 1 runs, must hold more than 1");
  });
});

it("ONNX Runtime's own profile covers the graph", async () => {
  const options = { provider: "cpu", threads: 1 } as const;
  const overhead = await measureOverhead(options, folder);
  expect(overhead).toBeGreaterThanOrEqual(0);
  const profiling = new Profiles(mkdtempSync(join(folder, "step-")));
  const engine = await createEngine({ engine: "onnxruntime", ...options, profiling });
  const compiled = await engine.compile(step, signature, "step");
  const inputs = Object.fromEntries(
    Object.entries(signature).map(([key, { shape }]) => [key, new Float32Array(shape.reduce((a, b) => a * b)).fill(1)]),
  );
  for (let at = 0; at < 3; at++) await compiled.run(inputs);
  const profile = profiling.read("step", 1, overhead);
  await compiled.release();
  expect(profile.runs).toBe(2);
  const forward = profile.times.filter(({ family }) => family === "convolution, forward");
  expect(forward.map(({ part, nodes }) => ({ part, nodes }))).toEqual([
    { part: "body", nodes: 1 },
    { part: "head", nodes: 1 },
  ]);
  expect(profile.times.filter(({ part }) => part === "other").map(({ op }) => op)).not.toContain("Conv");
  expect(profile.runSeconds).toBeGreaterThan(profile.times.reduce((sum, { seconds }) => sum + seconds, 0));
});
