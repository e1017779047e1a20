import { join } from "node:path";
import { networkOnnx } from "../../shared/network/export";
import { initialStats, initialWeights } from "../../shared/network/initialise";
import { buildDiscrete } from "../../shared/network/discrete";
import { encodeAttribute } from "../../shared/engine/encode";
import { createRandom } from "../../shared/engine/random";
import { packageRoot } from "../../shared/process/root";
import { ModelProto } from "../../shared/proto/onnx/onnx";
import { readGenotype } from "../../cli/spec/networkBuild";
import { sampleModel } from "../../services/latency/network";
import { ascending, percentile } from "../../services/latency/statistics";
import { PYRAMID } from "../network";
import { finding, type Figure, type Finding, type Setting } from "./finding";

const RUNS = { warmupRuns: 100, timedRuns: 200 };
const SAMPLING = { ...RUNS, budgetMs: 6000, minimumRuns: 10, enough: { runs: RUNS.timedRuns, ms: Infinity } };

/**
 * Latencies of a network at batch 1, in ms: with the copies of the image to the device and of the logits back, and without them, where the
 * image is made on the device and only the largest logit comes back.
 */
export async function latencies({
  provider,
  threads,
  network,
  input,
}: Setting & { network: string; input: [height: number, width: number] }): Promise<Finding> {
  const genotype = readGenotype({ file: join(packageRoot(), "docs/examples/networks", `${network}.json`), input });
  const built = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels: PYRAMID, dropout: 0 });
  const weights = initialWeights(built.weights, createRandom(1, "verify"));
  const onnx = networkOnnx(built, { weights, stats: initialStats(built.stats) }, []);
  const figures: Figure[] = [];
  for (const [copies, model] of [
    ["with copies", onnx],
    ["without copies", withoutCopies(onnx)],
  ] as const) {
    const settings = { deviceClass: provider, provider, threads, ...RUNS };
    const { seconds } = await sampleModel(model, settings, SAMPLING, new AbortController().signal);
    const sorted = ascending(seconds);
    for (const p of [50, 95])
      figures.push({
        name: `${network}, ${input.join("x")}, ${copies}: p${p}`,
        value: percentile(sorted, p) * 1000,
        unit: "ms",
      });
  }
  return finding(figures, `${built.genotype.classes} classes, random weights, batch 1`);
}

/** A network whose image is one pixel, repeated on the device, and whose only output is the largest logit. */
function withoutCopies(onnx: Uint8Array): Uint8Array {
  const model = ModelProto.decode(onnx);
  const graph = model.graph!;
  const [image] = graph.input;
  const [logits] = graph.output;
  const tensor = image!.type!.tensorType!;
  const sizes = tensor.shape!.dim.map(({ dimValue }) => Number(dimValue));
  const [pixel, shape, largest] = ["pixel", "pixel/shape", "largest"];
  const dims = (of: readonly number[]) => ({ dim: of.map((dimValue) => ({ dimValue, dimParam: "" })) });
  const node = (opType: string, input: string[], output: string[]) => ({
    ...{ name: `${output[0]}/made`, opType, domain: "", input, output, attribute: [] },
  });
  const int64 = BigInt64Array.from(sizes, BigInt);
  graph.initializer.push({ name: shape, dims: [sizes.length], dataType: 7, rawData: Buffer.from(int64.buffer) });
  graph.node.unshift(node("Expand", [pixel, shape], [image!.name]));
  const reduce = node("ReduceMax", [logits!.name], [largest]);
  graph.node.push({ ...reduce, attribute: [encodeAttribute(["keepdims", 0])] });
  graph.input = [{ name: pixel, type: { tensorType: { ...tensor, shape: dims([1, sizes[1]!, 1, 1]) } } }];
  graph.output = [{ name: largest, type: { tensorType: { ...tensor, shape: dims([]) } } }];
  return ModelProto.encode(model).finish();
}
