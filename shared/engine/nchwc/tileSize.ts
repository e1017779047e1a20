import { encodeModel } from "../encode";
import { eliminateDeadCode } from "../graph";
import { Recorder } from "../recorder";
import type { InferenceSession } from "onnxruntime-node";
import { Tensor } from "onnxruntime-node";
import { toBlocked } from "./emit";
import type { TileSize } from "./emit";

/** More channels than the largest tile. */
const CHANNELS = 64;

/**
 * Channels of a tile on this machine's CPU provider of ONNX Runtime. Found by reordering a counting tensor of 64 channels and two
 * positions: the new place of the first channel's second position is the tile size. Undefined if there is no blocked layout.
 */
export async function tileSize(
  create: (model: Uint8Array) => Promise<InferenceSession>,
): Promise<TileSize | undefined> {
  const r = new Recorder();
  const x = r.input("x", [1, CHANNELS, 1, 2], "float32");
  const graph = eliminateDeadCode(r.finish({ y: toBlocked(r, x) }));
  try {
    const session = await create(encodeModel(graph, "tile"));
    const counting = Float32Array.from({ length: 2 * CHANNELS }, (_, at) => at);
    const { y } = await session.run({ x: new Tensor("float32", counting, x.shape) });
    await session.release();
    const tile = (y?.data as Float32Array).indexOf(1);
    return tile > 1 ? tile : undefined;
  } catch {
    return undefined;
  }
}
