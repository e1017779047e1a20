import { encodeDeploy } from "../../shared/engine/deploy/deploy";
import { encodeModel } from "../../shared/engine/encode";
import type { Graph } from "../../shared/engine/graph";
import { calibrate } from "../../shared/engine/quantize/calibrate";
import { planQuantization } from "../../shared/engine/quantize/plan";
import { quantize } from "../../shared/engine/quantize/quantize";
import { decideEarly } from "../../shared/engine/rewrites/classMap";
import { REWRITES, rewritten } from "../../shared/engine/rewrites/table";
import type { SessionOptions } from "../../shared/engine/session";
import { refused } from "../../shared/evaluation/form";
import { networkGraph } from "../../shared/network/networkGraph";
import type { Form, TrainedNetwork } from "./folder";

/** Where the class of a pixel is decided: behind the last resize, as in training, or before it. */
export type Argmax = "exact" | "early";

/** The graph of a network from image to logits, with all rewrites but those of class maps. */
export function logitsGraph({ network, parameters }: Pick<TrainedNetwork, "network" | "parameters">): Graph {
  return rewritten(networkGraph(network, parameters));
}

/**
 * The graph with int8 convolutions, calibrated on images. INVALID_ARGUMENT (MODEL_UNSUPPORTED) where no convolution has enough channels, or
 * where the network gives no numbers.
 */
export async function int8Graph(
  graph: Graph,
  images: AsyncIterable<Float32Array>,
  session: SessionOptions,
): Promise<Graph> {
  const plan = planQuantization(graph);
  if (![...plan.nodes].some(({ op }) => op === "Conv"))
    throw refused("the network cannot be quantised: no convolution has 8 or more input channels");
  const ranges = await calibrate(graph, plan, images, session);
  for (const [name, { low, high }] of ranges)
    if (!Number.isFinite(low) || !Number.isFinite(high))
      throw refused(`the network cannot be quantised: "${name}" is from ${low} to ${high} on the calibration images`);
  return quantize(graph, plan, ranges);
}

/** The bytes of a graph in a form. */
export function encodeForm(graph: Graph, form: Form, argmax: Argmax, metadata: Readonly<Record<string, string>>) {
  if (form === "logits") return encodeModel(graph, "network", metadata);
  return encodeDeploy(graph, metadata, [argmax === "early" ? decideEarly : REWRITES.classes]);
}
