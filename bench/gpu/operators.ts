import * as ort from "onnxruntime-node";
import { createEngine, type Arrays, type CompiledStep, type Engine } from "../../shared/engine/engine";
import { encodeModel } from "../../shared/engine/encode";
import type { Graph, GraphNode, Value } from "../../shared/engine/graph";
import { createSession, stepGraph } from "../../shared/engine/session";
import { LatheError } from "../../shared/process/errors";
import { openSupernetTrainer } from "../../services/supernet/training/supernetTrainer";
import { difference, finding, type Figure, type Finding, type Setting } from "./finding";
import { trial, type Trial } from "./trials";

/** Largest difference of an operator on the device, as a share of its largest output. */
const BOUND = 1e-4;
const RATE = 1e-3;

/**
 * Runs each operator of a supernet's steps (default: preset tiny's) by itself on the device, once for each of its shapes and attributes, with the inputs that it
 * has in a step on the CPU, and compares the outputs. An operator for which the device has no kernel is a figure, not a fault.
 */
export async function operators({ provider, threads }: Setting, of: Trial = trial("tiny")): Promise<Finding> {
  const worst = new Map<string, number>();
  const elsewhere = new Set<string>();
  const faults: string[] = [];
  const seen = new Set<string>();
  for (const { graph, inputs } of await recordedSteps(of, threads)) {
    const values = await allValues(graph, inputs, threads);
    for (const node of graph.nodes) {
      const key = keyOf(node);
      if (seen.has(key)) continue;
      seen.add(key);
      const session = await onDevice(graph, node, { provider, threads });
      if (session === undefined) {
        elsewhere.add(node.op);
        continue;
      }
      try {
        const feeds = Object.fromEntries(session.inputNames.map((name) => [name, values.get(name)!]));
        const outputs = await session.run(feeds);
        for (const { name } of node.outputs) {
          const apart = compared(outputs[name]!, values.get(name)!);
          // Written so that NaN counts.
          if (!(apart <= BOUND)) faults.push(`${node.op} ${shapes(node)}: ${apart.toExponential(1)} apart`);
          worst.set(node.op, Math.max(worst.get(node.op) ?? 0, apart));
        }
      } catch (error) {
        faults.push(`${node.op} ${shapes(node)}: ${LatheError.from(error).message.split("\n")[0]}`);
      } finally {
        await session.release();
      }
    }
  }
  const figures: Figure[] = [...worst]
    .sort(([, a], [, b]) => b - a)
    .map(([op, value]) => ({ name: `operator ${op}`, value, unit: "", bound: BOUND }));
  figures.push({ name: "operators without a kernel", value: elsewhere.size, unit: "" });
  const without = elsewhere.size > 0 ? `; no kernel on the device: ${[...elsewhere].sort().join(", ")}` : "";
  return finding(figures, `${seen.size} shapes of ${worst.size + elsewhere.size} operators${without}`, faults);
}

interface Recorded {
  graph: Graph;
  inputs: Arrays;
}

/** The graphs of a supernet's steps in the plain formulation, each with the inputs of its first run. */
async function recordedSteps({ start, options, batch }: Trial, threads: number): Promise<Recorded[]> {
  const { tileSize: _, ...plain } = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  const recorded: Recorded[] = [];
  const recorder: Engine = {
    ...plain,
    compile: async (step, signature, name, optimization) => {
      const compiled = await plain.compile(step, signature, name, optimization);
      const run: CompiledStep["run"] = (inputs, into) => {
        recorded.push({ graph: stepGraph(step, signature).graph, inputs: structuredClone(inputs) });
        return compiled.run(inputs, into);
      };
      return { ...compiled, run };
    },
  };
  const trainer = await openSupernetTrainer(recorder, start, options);
  await trainer.weightStep(batch, RATE);
  await trainer.alphaStep?.(batch, RATE, { ssrFactor: 1, costWeight: 1 });
  await trainer.release();
  return recorded;
}

/** Every value of a graph on the CPU, by name. */
async function allValues(graph: Graph, inputs: Arrays, threads: number): Promise<Map<string, ort.Tensor>> {
  const feeds = graph.inputs.map(({ name, shape, dtype }) => [name, tensorOf(inputs[name]!, shape, dtype)] as const);
  const constants = graph.initializers.map(({ value, data }) => [value.name, constant(value, data)] as const);
  const whole = { ...graph, outputs: graph.nodes.flatMap(({ outputs }) => outputs) };
  const how = { graphOptimizationLevel: "disabled" } as const;
  const session = await createSession(encodeModel(whole, "all"), { provider: "cpu", threads }, how);
  const outputs = await session.run(Object.fromEntries(feeds));
  await session.release();
  return new Map([...feeds, ...constants, ...Object.entries(outputs)]);
}

const tensorOf = (data: Float32Array | Int32Array, shape: readonly number[], dtype: Value["dtype"]): ort.Tensor =>
  new ort.Tensor(dtype as "float32", data as Float32Array, shape);

const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array } as const;

function constant({ shape, dtype }: Value, data: Uint8Array): ort.Tensor {
  const bytes = data.slice();
  const Elements = ARRAYS[dtype as keyof typeof ARRAYS];
  return new ort.Tensor(dtype as "float32", new Elements(bytes.buffer) as Float32Array, shape);
}

/** A session of one node on the device alone; undefined where the device has no kernel for it. Axes and shapes stay constants. */
async function onDevice(
  graph: Graph,
  node: GraphNode,
  { provider, threads }: Setting,
): Promise<ort.InferenceSession | undefined> {
  const constants = new Map(graph.initializers.map((initializer) => [initializer.value.name, initializer]));
  const inputs = [...new Map(node.inputs.map((value) => [value.name, value])).values()];
  const fixed = inputs.flatMap(({ name, dtype }) => (dtype === "int64" ? (constants.get(name) ?? []) : []));
  const single: Graph = {
    ...graph,
    nodes: [node],
    initializers: fixed,
    inputs: inputs.filter(({ name }) => !fixed.some(({ value }) => value.name === name)),
    outputs: node.outputs,
  };
  try {
    return await ort.InferenceSession.create(encodeModel(single, "one"), {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      graphOptimizationLevel: "disabled",
      logSeverityLevel: 4,
      extra: { session: { disable_cpu_ep_fallback: provider === "cpu" ? "0" : "1" } },
    });
  } catch {
    // With a fallback to the CPU the session would be created.
    return undefined;
  }
}

function compared(got: ort.Tensor, want: ort.Tensor): number {
  const numbers = (tensor: ort.Tensor) =>
    tensor.data instanceof BigInt64Array ? Float64Array.from(tensor.data, Number) : (tensor.data as Float32Array);
  return difference(numbers(got), numbers(want));
}

const shapes = ({ inputs }: GraphNode) => inputs.map(({ shape }) => `[${shape.join(",")}]`).join(" ");
const keyOf = (node: GraphNode) =>
  JSON.stringify([node.domain, node.op, node.attributes, node.inputs.map(({ shape, dtype }) => [shape, dtype])]);
