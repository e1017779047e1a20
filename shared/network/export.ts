import { exportOnnx } from "../engine/onnx";
import type { Constants } from "../engine/tracer";
import { view, type Manifest } from "../engine/parameters";
import type { ArtifactRef } from "../proto/lathe/v1/result";
import { Genotype } from "../proto/lathe/v1/space";
import { encodeBundle } from "./bundle";
import type { DiscreteNetwork } from "./discrete";
import { inferenceNorm, named } from "./layers";

/** Stores a finished file. `kind` names the artifact. */
export interface Store {
  store(kind: string, bytes: Uint8Array, mediaType: string): Promise<ArtifactRef>;
}

export interface NetworkParameters {
  weights: Float32Array;
  stats: Float32Array;
}

/**
 * ONNX of a trained network, batch 1: input "image" [1,3,H,W] float32 RGB in 0..1, output "logits" [1,classes,H/stride,W/stride]. Weights
 * are constants, the metadata holds the class names, and each batch norm that directly follows a convolution is folded into it.
 */
export function networkOnnx(
  network: DiscreteNetwork,
  { weights, stats }: NetworkParameters,
  classNames: readonly string[],
): Uint8Array {
  const { inputHeight, inputWidth } = network.genotype;
  return exportOnnx({
    name: "network",
    step: (tensors) => ({ logits: network.logits(tensors, named(tensors, "image"), inferenceNorm(tensors)) }),
    signature: { image: { shape: [1, 3, inputHeight, inputWidth], dtype: "float32" } },
    constants: { ...constants(weights, network.weights), ...constants(stats, network.stats) },
    metadata: {
      classes: JSON.stringify(classNames),
      input: "RGB, float32, pixel / 255, NCHW",
      head: network.head.kind,
    },
  });
}

/** Stores a derived network (search head) as ONNX and as a bundle of weights, from which retraining may inherit. */
export async function storeDerived(
  network: DiscreteNetwork,
  { weights, stats }: NetworkParameters,
  classNames: readonly string[],
  port: Store,
): Promise<{ onnx: ArtifactRef; weights: ArtifactRef }> {
  const onnx = networkOnnx(network, { weights, stats }, classNames);
  const bundle = encodeBundle({ header: Genotype.toJSON(network.genotype), arrays: { weights, stats } });
  return {
    onnx: await port.store("derived.onnx", onnx, "application/onnx"),
    weights: await port.store("derived.weights", bundle, "application/octet-stream"),
  };
}

/** Stores a trained network: its ONNX, and a bundle of its weights. */
export async function storeTrained(
  network: DiscreteNetwork,
  { weights, stats }: NetworkParameters,
  onnx: Uint8Array,
  port: Store,
): Promise<{ onnx: ArtifactRef; weights: ArtifactRef }> {
  const bundle = encodeBundle({ header: { head: network.head }, arrays: { weights, stats } });
  return {
    onnx: await port.store("network.onnx", onnx, "application/onnx"),
    weights: await port.store("network.weights", bundle, "application/octet-stream"),
  };
}

function constants(buffer: Float32Array, manifest: Manifest): Constants {
  return Object.fromEntries(
    manifest.entries.map(({ name, shape }) => [name, { data: view(buffer, manifest, name).slice(), shape }]),
  );
}
