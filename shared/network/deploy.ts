import { encodeDeploy } from "../engine/deploy/deploy";
import type { DiscreteNetwork } from "./discrete";
import { networkGraph, type NetworkParameters } from "./networkGraph";

/** The network of a deploy form, as the form's metadata describes it. */
export interface NetworkOrigin {
  readonly classes: readonly string[];
  /** RGB of each class, 0 to 255; absent where it is not known. */
  readonly colors?: readonly (readonly [number, number, number])[] | undefined;
  readonly search: string;
  /** On the validation split, 0 to 1; absent where the network was not measured at this size. */
  readonly validationMiou?: number | undefined;
  /** Licence of the data, where the spec gives it. */
  readonly license?: string | undefined;
}

const PREPROCESSING =
  "antialiased bilinear resize to network_size, half-pixel centres, rounded to whole numbers, then / 255; all of it is in the model";

/**
 * deploy.onnx: images [batch,height,width,3] uint8 RGB of any size -> class maps (shared/engine/deploy/deploy.ts). It computes what the
 * training evaluates, from the resize on.
 */
export function deployOnnx(
  network: DiscreteNetwork,
  parameters: NetworkParameters,
  { classes, colors, search, validationMiou, license }: NetworkOrigin,
): Uint8Array {
  const { inputHeight, inputWidth } = network.genotype;
  const cells = network.stride === 1 ? "" : ` / ${network.stride}`;
  return encodeDeploy(networkGraph(network, parameters), {
    opset: "13",
    classes: JSON.stringify(classes),
    ...(colors && { colors: JSON.stringify(colors) }),
    input: "RGB, uint8, NHWC, any batch, height and width",
    preprocessing: PREPROCESSING,
    output: `classes: class per pixel at network_size${cells}; classes_full: the same at the image's size, by nearest neighbour`,
    network_size: `${inputHeight}x${inputWidth}`,
    head: network.head.kind,
    search,
    ...(validationMiou !== undefined && { validation_miou: String(validationMiou) }),
    ...(license !== undefined && { license }),
  });
}
