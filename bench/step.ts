import { createEngine } from "../shared/engine/engine";
import { createRandom } from "../shared/engine/random";
import { firstState } from "../shared/network/checkpoint";
import { initialStats, initialWeights } from "../shared/network/initialise";
import { buildSupernet } from "../shared/network/supernet";
import type { SearchSpace, Stage } from "../shared/proto/lathe/v1/space";
import { costOfLargest, macsTable } from "../shared/space/cost";
import { initialArchitecture } from "../shared/space/groups";
import { openSession } from "../services/supernet/session";
import type { Measurement } from "./measurement";

/** Steps left out: the first runs of a session grow its memory arena. */
const WARM_UP = 5;

/** Sizes of engine.md; the space has no depth search, as the prototype has none. */
const SIZES = {
  S: { batchSize: 8, height: 64, width: 128, channels: [32, 64] },
  L: { batchSize: 4, height: 128, width: 256, channels: [64, 128] },
} as const;

function stage(channels: number, depth: number): Stage {
  const widths = Array.from({ length: 9 }, (_, index) => channels / 2 + (index * channels) / 16);
  return { channels, minDepth: depth, maxDepth: depth, widths, dropout: 0 };
}

/**
 * One weights step and one alpha step of a full supernet, Adam included (engine.md): 2 + 3 blocks, 10 candidates, 9 widths.
 * Arguments: size S or L, number of timed pairs.
 */
export async function step(args: readonly string[]): Promise<Measurement> {
  const size = args[0] === "L" ? "L" : "S";
  const pairs = Number(args[1] ?? 20);
  const { batchSize, height, width, channels } = SIZES[size];
  const space: SearchSpace = {
    inputHeight: height,
    inputWidth: width,
    classes: 8,
    stemChannels: channels[0] / 4,
    stages: [stage(channels[0], 2), stage(channels[1], 3)],
    dilations: [1, 2, 4, 8, 16],
    scales: [1, 2],
  };
  const random = createRandom(1, "bench");
  const supernet = buildSupernet(space, initialArchitecture(space));
  const table = macsTable(space);
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 2 });
  const started = performance.now();
  const session = await openSession(
    engine,
    firstState(supernet, initialWeights(supernet.weights, random), initialStats(supernet.stats)),
    {
      seed: 1,
      batchSize,
      weightDecay: 1e-4,
      classWeights: new Float32Array(8).fill(1),
      alpha: {
        table,
        largestCost: costOfLargest(space, table),
        target: 0.6,
        ssr: { depth: 30, operation: 30, outputWidth: 15, middleWidth: 15 },
        weightDecay: 1e-3,
      },
    },
  );
  const compiled = performance.now() - started;
  const batch = {
    images: Float32Array.from({ length: batchSize * 3 * height * width }, () => random.next()),
    labels: Int32Array.from({ length: (batchSize * height * width) / 64 }, () => random.integer(8)),
    size: batchSize,
    indices: [],
  };
  const series: Record<string, number[]> = { weights: [], alpha: [], pair: [] };
  for (let at = -WARM_UP; at < pairs; at++) {
    const t0 = performance.now();
    await session.weightStep(batch, 3e-4);
    const t1 = performance.now();
    await session.alphaStep?.(batch, 2e-3, { ssrFactor: 1, costWeight: 1 });
    const t2 = performance.now();
    if (at < 0) continue;
    series.weights?.push(t1 - t0);
    series.alpha?.push(t2 - t1);
    series.pair?.push(t2 - t0);
  }
  await session.release();
  return {
    title: `supernet step, size ${size}: batch ${batchSize}, ${height}x${width}, C ${channels.join("/")}, 5 blocks`,
    unit: "ms",
    series,
    notes: { engine: engine.name, "trace and compile, ms": Math.round(compiled), warmUp: WARM_UP },
  };
}
