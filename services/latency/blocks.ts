import { encodeModel } from "../../shared/engine/encode";
import type { Graph } from "../../shared/engine/graph";
import { exportGraph, exportOnnx } from "../../shared/engine/onnx";
import { createRandom } from "../../shared/engine/random";
import { view, type Manifest } from "../../shared/engine/parameters";
import { rewritten } from "../../shared/engine/rewrites/table";
import type { tf } from "../../shared/engine/tf";
import type { Constants } from "../../shared/engine/tracer";
import { declareBlock, decidedBlock } from "../../shared/network/blocks";
import { axis, tensorTable, type Declaration } from "../../shared/network/declaration";
import { buildDiscrete } from "../../shared/network/discrete";
import type { Head } from "../../shared/space/head";
import { networkOnnx } from "../../shared/network/export";
import { initialStats, initialWeights } from "../../shared/network/initialise";
import { inferenceNorm, named } from "../../shared/network/layers";
import type { Genotype, GenotypeBlock } from "../../shared/proto/lathe/v1/space";

const SEED = 1;

/** Consecutive blocks at one resolution. */
export interface BlockChain {
  /** Input channels of the first block. */
  inputs: number;
  blocks: readonly GenotypeBlock[];
  height: number;
  width: number;
}

/** ONNX of a chain of blocks with random weights, "x" [1,in,h,w] -> "y" [1,out,h,w], with the rewrites of a network (networkOnnx). */
export const chainOnnx = (chain: BlockChain): Uint8Array => encodeModel(rewritten(chainGraph(chain)), "chain", {});

/** The same without rewrites. */
export const plainChainOnnx = (chain: BlockChain): Uint8Array => encodeModel(chainGraph(chain), "chain", {});

function chainGraph({ inputs, blocks, height, width }: BlockChain): Graph {
  const declaration: Declaration = { weights: [], stats: [] };
  let channels = axis("input", inputs);
  blocks.forEach((block, i) => {
    channels = declareBlock(declaration, `block${i + 1}`, channels, block);
  });
  const [weights, stats] = [tensorTable(declaration.weights), tensorTable(declaration.stats)];
  return exportGraph({
    step: (tensors) => {
      const norm = inferenceNorm(tensors);
      const through = (x: tf.Tensor, block: GenotypeBlock, i: number) =>
        decidedBlock(tensors, `block${i + 1}`, block, x, norm);
      return { y: blocks.reduce(through, named(tensors, "x")) };
    },
    signature: { x: { shape: [1, inputs, height, width], dtype: "float32" } },
    constants: {
      ...constants(weights, initialWeights(weights, createRandom(SEED, "chain"))),
      ...constants(stats, initialStats(stats)),
    },
  });
}

function constants(layout: Manifest, buffer: Float32Array): Constants {
  return Object.fromEntries(
    layout.entries.map(({ name, shape }) => [name, { data: view(buffer, layout, name).slice(), shape }]),
  );
}

/**
 * ONNX of a genotype's network with random weights: with the aggregation head, or with the search head where it has no pyramid channels.
 * Stages may have no blocks.
 */
export function networkOnnxOf(genotype: Genotype, pyramidChannels: number): Uint8Array {
  const head: Head = pyramidChannels > 0 ? { kind: "aggregation", pyramidChannels, dropout: 0 } : { kind: "search" };
  const network = buildDiscrete(genotype, head);
  const weights = initialWeights(network.weights, createRandom(SEED, "network"));
  return networkOnnx(network, { weights, stats: initialStats(network.stats) }, []);
}

/** ONNX of a single addition, to measure the cost of an empty run. */
export function emptyOnnx(): Uint8Array {
  return exportOnnx({
    name: "empty",
    step: (tensors) => ({ y: named(tensors, "x").add(1) }),
    signature: { x: { shape: [1, 1, 1, 1], dtype: "float32" } },
    constants: {},
  });
}
