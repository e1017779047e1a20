import { LatheError } from "../../process/errors";
import type { Graph, GraphNode, Value } from "../graph";

/** Operators that treat each image of a batch by itself, whatever its size. */
const PER_IMAGE = new Set([
  ...["Conv", "BatchNormalization", "MaxPool", "AveragePool", "Relu", "Add", "Mul", "MatMul"],
  ...["QuantizeLinear", "DequantizeLinear"],
]);

/**
 * The nodes of a network that was traced for one image, for any number of images. `batch` [1] int64 is that number: the only constants in
 * which a traced network holds it are the sizes of its resizes. INTERNAL for an operator of which this is not known.
 */
export function anyBatch({ nodes, initializers }: Graph, batch: Value): GraphNode[] {
  const constant = new Set(initializers.map(({ value }) => value.name));
  const integers = new Map(initializers.map(({ value, data }) => [value.name, data]));
  return nodes.flatMap((each) => {
    if (each.inputs.every(({ name }) => constant.has(name))) {
      for (const { name } of each.outputs) constant.add(name);
      return [each];
    }
    const sizes = each.inputs[3];
    if (each.op === "Resize" && sizes) {
      const [, ...rest] = new BigInt64Array((integers.get(sizes.name) as Uint8Array).slice().buffer);
      const free = { name: `${sizes.name}/${each.name}`, shape: [4], dtype: "int64" } as const;
      const tail = { name: `${free.name}/image`, shape: [3], dtype: "int64" } as const;
      const node = { domain: "", attributes: {} };
      return [
        {
          ...node,
          op: "Constant",
          name: tail.name,
          inputs: [],
          outputs: [tail],
          attributes: { value_ints: rest.map(Number) },
        },
        { ...node, op: "Concat", name: free.name, inputs: [batch, tail], outputs: [free], attributes: { axis: 0 } },
        { ...each, inputs: [...each.inputs.slice(0, 3), free] },
      ];
    }
    if (each.op === "Resize" || PER_IMAGE.has(each.op) || acrossChannels(each)) return [each];
    throw new LatheError("INTERNAL", `node "${each.name}" (${each.op}) is not known to work for any number of images`);
  });
}

/** Whether the axes of a Concat, ArgMax, Gather, Transpose or Slice are without the batch. */
function acrossChannels({ op, inputs, outputs, attributes }: GraphNode): boolean {
  if (op === "Concat" || op === "ArgMax" || op === "Gather") return attributes.axis !== 0;
  if (op === "Transpose") return (attributes.perm as readonly number[])[0] === 0;
  return op === "Slice" && inputs[0]?.shape[0] === outputs[0]?.shape[0];
}
