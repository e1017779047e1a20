import { Tensor } from "onnxruntime-node";
import { uniform } from "../../../testing/spaces";
import { encodeModel } from "../../encode";
import { eliminateDeadCode } from "../../graph";
import { Recorder } from "../../recorder";
import { createSession } from "../../session";
import { upTo } from "../../signature";
import { toBlocked } from "../emit";
import { tileSize } from "../tileSize";
import { channelFilterGradient } from "./depthwise";
import type { Branch, MixturePlan } from "./plan";

const create = (model: Uint8Array) => createSession(model, { provider: "cpu", threads: 1 });
const [BATCH, HEIGHT, WIDTH] = [8, 60, 80];

/** Values of [C,H,N,W], -1 to 1. */
function values(channels: number, seed: number): Float32Array {
  const next = uniform(seed);
  return Float32Array.from({ length: channels * HEIGHT * BATCH * WIDTH }, () => 2 * next() - 1);
}

/** Sum over images and positions of dy times x moved by a tap, in float64. */
function byDefinition(x: Float32Array, dy: Float32Array, channel: number, down: number, right: number): number {
  const at = (h: number, n: number, w: number) => ((channel * HEIGHT + h) * BATCH + n) * WIDTH + w;
  let sum = 0;
  for (let h = Math.max(0, -down); h < Math.min(HEIGHT, HEIGHT - down); h++)
    for (let n = 0; n < BATCH; n++)
      for (let w = Math.max(0, -right); w < Math.min(WIDTH, WIDTH - right); w++)
        sum += dy[at(h, n, w)]! * x[at(h + down, n, w + right)]!;
  return sum;
}

// As many positions as a first stage has at 240x320. One float32 sum over all of them is off by 1e-5.
it.each([
  [3, 1],
  [3, 4],
  [5, 1],
  [3, 70],
])("the filter gradient of %dx%d taps at dilation %d is a sum in float64", async (size, dilation) => {
  const tile = await tileSize(create);
  if (tile === undefined) throw new Error("this machine has no blocked layout");
  const branch = {
    ...{ scale: 1, dilation, middle: tile, output: tile },
    kernels: { 1: [1, 1], 2: [1, 1] },
    depthwise: { 1: [size, size] },
  } satisfies Branch;
  const plan: MixturePlan = {
    ...{ tile, batch: BATCH, height: HEIGHT, width: WIDTH, inputs: tile, outputs: tile, epsilon: 1e-3 },
    branches: [branch],
  };
  const r = new Recorder();
  const shape = [1, tile, HEIGHT, BATCH * WIDTH];
  const [x, dy] = [r.input("x", shape, "float32"), r.input("dy", shape, "float32")];
  const depthwise = { branch: 0, layer: 1, kernel: [size, size], channels: tile } as const;
  const gradient = channelFilterGradient(r, plan, depthwise, toBlocked(r, x), toBlocked(r, dy));
  const session = await create(encodeModel(eliminateDeadCode(r.finish({ gradient })), "gradient"));
  const [xs, dys] = [values(tile, 1), values(tile, 2)];
  const found = await session.run({ x: new Tensor("float32", xs, shape), dy: new Tensor("float32", dys, shape) });
  await session.release();
  const expected = upTo(size * size).flatMap((tap) => {
    const [down, right] = [Math.floor(tap / size), tap % size].map((place) => (place - (size - 1) / 2) * dilation);
    return upTo(tile).map((channel) => byDefinition(xs, dys, channel, down!, right!));
  });
  const rms = Math.sqrt(expected.reduce((sum, each) => sum + each ** 2, 0) / expected.length);
  const errors = expected.map((each, at) => Math.abs(Number(found.gradient?.data[at]) - each) / rms);
  expect(errors).toHaveLength(size * size * tile);
  expect(Math.max(...errors)).toBeLessThan(3e-6);
});
