import { encodeModel } from "../encode";
import { eliminateDeadCode } from "../graph";
import { Recorder } from "../recorder";
import type { InferenceSession } from "onnxruntime-node";
import { Tensor } from "onnxruntime-node";
import { toBlocked } from "./emit";
import type { Block } from "./emit";

/** More channels than any block has. */
const CHANNELS = 64;

/**
 * Channels that ONNX Runtime's CPU provider packs together on this machine, found by reordering a counting tensor of 64 channels and
 * two positions: where the first channel's second position lands. Undefined where it has no blocked layout.
 */
export async function blockSize(create: (model: Uint8Array) => Promise<InferenceSession>): Promise<Block | undefined> {
  const r = new Recorder();
  const x = r.input("x", [1, CHANNELS, 1, 2], "float32");
  const graph = eliminateDeadCode(r.finish({ y: toBlocked(r, x) }));
  try {
    const session = await create(encodeModel(graph, "block"));
    const counting = Float32Array.from({ length: 2 * CHANNELS }, (_, at) => at);
    const { y } = await session.run({ x: new Tensor("float32", counting, x.shape) });
    await session.release();
    const block = (y?.data as Float32Array).indexOf(1);
    return block > 1 ? block : undefined;
  } catch {
    return undefined;
  }
}
