import { encodeModel } from "../encode";
import type { Graph, GraphNode, Value } from "../graph";
import { openOnnx } from "../onnx";
import type { SessionOptions } from "../session";
import type { QuantizationPlan } from "./plan";
import type { Range } from "./steps";

/**
 * The range of each value of a plan over images. `images` gives the inputs of a run, one by one. The extremes are taken within the model,
 * so that no tensor leaves it.
 */
export async function calibrate(
  graph: Graph,
  plan: QuantizationPlan,
  images: AsyncIterable<Float32Array>,
  options: SessionOptions,
): Promise<Map<string, Range>> {
  const model = await openOnnx(encodeModel(withExtremes(graph, plan), "calibration"), options);
  const [input] = graph.inputs;
  const ranges = new Map<string, Range>();
  try {
    for await (const image of images) {
      const found = await model.run({ [input!.name]: image });
      for (const name of plan.values.keys()) {
        const before = ranges.get(name) ?? { low: 0, high: 0 };
        const [low = 0, high = 0] = [found[`${name}/low`]?.[0], found[`${name}/high`]?.[0]];
        ranges.set(name, { low: Math.min(before.low, low), high: Math.max(before.high, high) });
      }
    }
  } finally {
    await model.release();
  }
  return ranges;
}

/** The graph with the smallest and the largest element of each planned value as its outputs. */
function withExtremes(graph: Graph, plan: QuantizationPlan): Graph {
  const extreme = (value: Value, op: string, end: string): GraphNode => ({
    ...{ op, name: `${op}_${value.name}`, domain: "", inputs: [value], attributes: { keepdims: 0 } },
    outputs: [{ name: `${value.name}/${end}`, shape: [], dtype: "float32" }],
  });
  const extremes = [...plan.values.values()].flatMap((value) => [
    extreme(value, "ReduceMin", "low"),
    extreme(value, "ReduceMax", "high"),
  ]);
  return { ...graph, nodes: [...graph.nodes, ...extremes], outputs: extremes.flatMap(({ outputs }) => outputs) };
}
