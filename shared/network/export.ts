import { encodeModel } from "../engine/encode";
import { rewritten } from "../engine/rewrites/table";
import type { ArtifactRef } from "../proto/lathe/v1/result";
import { Genotype } from "../proto/lathe/v1/space";
import { encodeBundle } from "./bundle";
import { deployOnnx, type NetworkOrigin } from "./deploy";
import type { DiscreteNetwork } from "./discrete";
import { networkGraph, type NetworkParameters } from "./networkGraph";

export type { NetworkParameters };

/** Stores a finished file. `kind` names the artifact. */
export interface Store {
  store(kind: string, bytes: Uint8Array, mediaType: string): Promise<ArtifactRef>;
}

/**
 * ONNX of a trained network, batch 1: input "image" [1,3,H,W] float32 RGB in 0..1, output "logits" [1,classes,H/stride,W/stride]. Weights
 * are constants, the metadata holds the class names and the licence of the data, where one is given, and each batch norm that directly
 * follows a convolution is folded into it.
 */
export function networkOnnx(
  network: DiscreteNetwork,
  parameters: NetworkParameters,
  classNames: readonly string[],
  license?: string,
): Uint8Array {
  return encodeModel(rewritten(networkGraph(network, parameters)), "network", {
    classes: JSON.stringify(classNames),
    input: "RGB, float32, pixel / 255, NCHW",
    head: network.head.kind,
    ...(network.stride > 1 && { logits: `at 1/${network.stride} of the input's height and width` }),
    ...(license !== undefined && { license }),
  });
}

/** Stores a derived network (head of the search) as ONNX and as a bundle of weights, from which retraining may inherit; a repaired one by its name. */
export async function storeDerived(
  network: DiscreteNetwork,
  { weights, stats }: NetworkParameters,
  { classes, license }: Pick<NetworkOrigin, "classes" | "license">,
  port: Store,
  name = "derived",
): Promise<{ onnx: ArtifactRef; weights: ArtifactRef }> {
  const onnx = networkOnnx(network, { weights, stats }, classes, license);
  const bundle = encodeBundle({ header: Genotype.toJSON(network.genotype), arrays: { weights, stats } });
  return {
    onnx: await port.store(`${name}.onnx`, onnx, "application/onnx"),
    weights: await port.store(`${name}.weights`, bundle, "application/octet-stream"),
  };
}

/** Stores a trained network: its ONNX, its deploy form, and a bundle of its weights. */
export async function storeTrained(
  network: DiscreteNetwork,
  parameters: NetworkParameters,
  onnx: Uint8Array,
  origin: Omit<NetworkOrigin, "search">,
  port: Store,
): Promise<{ onnx: ArtifactRef; weights: ArtifactRef; deploy: ArtifactRef }> {
  const { weights, stats } = parameters;
  const bundle = encodeBundle({ header: { head: network.head }, arrays: { weights, stats } });
  const stored = await port.store("network.onnx", onnx, "application/onnx");
  const deploy = deployOnnx(network, parameters, { ...origin, search: stored.object.split("/", 1)[0] ?? "" });
  return {
    onnx: stored,
    weights: await port.store("network.weights", bundle, "application/octet-stream"),
    deploy: await port.store("deploy.onnx", deploy, "application/onnx"),
  };
}
