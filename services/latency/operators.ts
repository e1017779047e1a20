import { LatheError } from "../../shared/process/errors";
import {
  CostMetric,
  type CandidateCost,
  type CostTable,
  type Genotype,
  type SearchSpace,
} from "../../shared/proto/lathe/v1/space";
import { candidateId, genotypeCost, smallestGenotype } from "../../shared/space/cost";
import { largestGenotype } from "../../shared/space/genotype";
import { operations } from "../../shared/space/groups";
import { strideOf } from "../../shared/space/networkCosts";
import { chainOnnx, emptyOnnx, networkOnnxOf, type BlockChain } from "./blocks";
import { stageBounds } from "./bounds";
import { blocksScale, checkOf, sampledNetworks } from "./check";
import type { Measured } from "./network";
import type { ProfilingSettings } from "./settings";
import type { Timer } from "./timer";

export interface MeasuredOperators {
  table: CostTable;
  /** The space's largest network. Its conditions are those of all measurements. */
  largest: Measured;
  /** The space's smallest network by the table. */
  smallest: Measured;
}

/** The operators to measure: the candidates of a space, in networks whose head has these pyramid channels (networkOnnxOf). */
export interface Operators {
  space: SearchSpace;
  pyramidChannels: number;
}

/** Every model is timed once per round, and its lowest time counts: other load only adds time, and rarely in both rounds. */
const ROUNDS = 2;
/**
 * Blocks per measured model. A run has costs before its first and after its last block (the call, ONNX Runtime's layout conversions at the
 * ends of a graph) that do not occur between two blocks of a network. The longer the chain, the less they weigh.
 */
const CHAIN = 6;

/** A chain of equal blocks, input -> middle -> input, for one row of the table. */
interface OperatorPoint {
  /** "stage1/d4s2". */
  id: string;
  input: number;
  middle: number;
  chain: BlockChain;
}

/** All chains that the table of a space needs. Rows are in the order of macsTable. */
export function operatorPoints(space: SearchSpace, tile: number): OperatorPoint[] {
  const bounds = stageBounds(space, tile);
  return bounds.flatMap(({ inputs, widths }, index) =>
    operations(space).flatMap(({ name, dilation, scale }) =>
      inputs.flatMap((input) =>
        widths.map((middle) => ({
          ...{ id: candidateId(index + 1, name), input, middle },
          chain: {
            inputs: input,
            blocks: Array.from({ length: CHAIN }, () => ({ dilation, scale, middleWidth: middle, outputWidth: input })),
            height: space.inputHeight / strideOf(index + 1),
            width: space.inputWidth / strideOf(index + 1),
          },
        })),
      ),
    ),
  );
}

/**
 * Measures the latency table of a space on this device, in seconds. A chain of blocks input -> middle -> input, less the cost of an empty
 * run, gives A(input, middle) + B(middle, input). Both get half of it, because only sums over whole networks count, in which every width
 * that a block gives is taken by another. The fixed part is the time of the network without blocks. One factor for all blocks is fitted to
 * networks of the space, and others check the table (CostTable.check).
 */
export async function measureOperators(
  { space, pyramidChannels }: Operators,
  { deviceClass }: Pick<ProfilingSettings, "deviceClass">,
  timer: Timer,
  signal: AbortSignal,
): Promise<MeasuredOperators> {
  const points = operatorPoints(space, timer.tile);
  if (points.length === 0) throw new LatheError("INVALID_ARGUMENT", "the space has no candidate operations to measure");
  const networks = sampledNetworks(space);
  const networkOf = (genotype: Genotype) => networkOnnxOf(genotype, pyramidChannels);
  const models = [
    emptyOnnx,
    () => networkOf(withoutBlocks(space)),
    ...points.map(
      ({ chain }) =>
        () =>
          chainOnnx(chain),
    ),
    ...networks.map((genotype) => () => networkOf(genotype)),
  ];
  const [overhead = 0, fixed = 0, ...runs] = await lowest(models, timer, signal);
  const seconds = new Map<string, number>();
  points.forEach(({ id, input, middle }, i) => {
    const run = runs[i] ?? Number.NaN;
    // If the cost of an empty run exceeds nine tenths of the time, the blocks get a tenth: their cost must be positive.
    seconds.set(keyOf(id, input, middle), Math.max(run - overhead, run / 10) / CHAIN);
  });
  const measured = networks.map((genotype, i) => ({ genotype, seconds: runs[points.length + i] ?? Number.NaN }));
  const table = (scale: number): CostTable => ({
    metric: CostMetric.COST_METRIC_LATENCY,
    candidates: candidates(space, timer.tile, (...key) => scale * (seconds.get(keyOf(...key)) ?? Number.NaN)),
    ...{ fixed, device: deviceClass, check: undefined },
  });
  const scaled = table(blocksScale(measured, table(1)));
  const check = checkOf(measured, (genotype) => genotypeCost(genotype, scaled));
  const largest = await timer.network(networkOf(largestGenotype(space)), signal);
  const smallest = await timer.network(networkOf(smallestGenotype(space, scaled)), signal);
  return { table: { ...scaled, check }, largest, smallest };
}

const keyOf = (id: string, input: number, middle: number): string => `${id} ${input} ${middle}`;

/** The rows of a table whose block input -> middle -> input takes the given seconds. */
function candidates(
  space: SearchSpace,
  tile: number,
  block: (id: string, input: number, middle: number) => number,
): CandidateCost[] {
  return stageBounds(space, tile).flatMap(({ inputs, widths }, index) =>
    operations(space).map(({ name }) => {
      const id = candidateId(index + 1, name);
      const half = (input: number, middle: number) => block(id, input, middle) / 2;
      return {
        ...{ id, inMiddle: 0, middleOut: 0, fixed: 0 },
        byInput: { rows: inputs, columns: widths, costs: inputs.flatMap((i) => widths.map((m) => half(i, m))) },
        byOutput: { rows: widths, columns: widths, costs: widths.flatMap((m) => widths.map((o) => half(o, m))) },
      };
    }),
  );
}

/** Lowest time of each model over the rounds, in seconds. Models are built one by one: all at once would not fit into memory. */
async function lowest(models: readonly (() => Uint8Array)[], timer: Timer, signal: AbortSignal): Promise<number[]> {
  const best = models.map(() => Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, model] of models.entries()) {
      signal.throwIfAborted();
      best[i] = Math.min(best[i] ?? Infinity, await timer.seconds(model(), signal));
    }
  }
  return best;
}

/** The network of stem, reductions and head at full width, without blocks. */
function withoutBlocks(space: SearchSpace): Genotype {
  const largest = largestGenotype(space);
  return { ...largest, stages: largest.stages.map((stage) => ({ ...stage, blocks: [] })) };
}
