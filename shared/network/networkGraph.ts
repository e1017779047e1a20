import type { Graph } from "../engine/graph";
import { exportGraph } from "../engine/onnx";
import { view, type Manifest } from "../engine/parameters";
import type { Constants } from "../engine/tracer";
import type { DiscreteNetwork } from "./discrete";
import { inferenceNorm, named } from "./layers";

export interface NetworkParameters {
  weights: Float32Array;
  stats: Float32Array;
}

/** The graph of a trained network for one image: "image" [1,3,H,W] -> "logits" [1,classes,H/stride,W/stride]. */
export function networkGraph(network: DiscreteNetwork, { weights, stats }: NetworkParameters): Graph {
  const { inputHeight, inputWidth } = network.genotype;
  return exportGraph({
    step: (tensors) => ({ logits: network.logits(tensors, named(tensors, "image"), inferenceNorm(tensors)) }),
    signature: { image: { shape: [1, 3, inputHeight, inputWidth], dtype: "float32" } },
    constants: { ...constants(weights, network.weights), ...constants(stats, network.stats) },
  });
}

function constants(buffer: Float32Array, manifest: Manifest): Constants {
  return Object.fromEntries(
    manifest.entries.map(({ name, shape }) => [name, { data: view(buffer, manifest, name).slice(), shape }]),
  );
}
