import { LatheError } from "../../shared/process/errors";
import {
  CostMetric,
  type CostTable,
  type Genotype,
  type GenotypeBlock,
  type SearchSpace,
} from "../../shared/proto/lathe/v1/space";
import { candidateId, genotypeCost } from "../../shared/space/cost";
import { strideOf } from "../../shared/space/networkCosts";
import { largestGenotype } from "../../shared/space/genotype";
import { operations, type Operation } from "../../shared/space/groups";
import { chainOnnx, emptyOnnx, searchNetworkOnnx, type BlockChain } from "./blocks";
import { fitOperator, type OperatorSample } from "./fit";
import { measureNetwork, sampleModel, type Measured } from "./network";
import type { Sampling } from "./sampling";
import type { ProfilingSettings } from "./settings";
import { medianOf } from "./statistics";

export interface MeasuredOperators {
  table: CostTable;
  /** The space's largest network with the search head. Its conditions are those of all measurements. */
  largest: Measured;
  /** Mean relative error of the fit over all samples. */
  fitError: number;
  /** |table's latency - measured latency| / measured latency of the space's largest network. */
  modelError: number;
}

/** Times models: by ONNX Runtime in the service, by a formula in tests. */
interface Timer {
  /** Median seconds of a run. */
  seconds(model: Uint8Array, signal: AbortSignal): Promise<number>;
  network(model: Uint8Array, signal: AbortSignal): Promise<Measured>;
}

/** Time per model in ms. A table of 10 candidates in 2 stages has 100 models, so one must not take minutes. */
const BUDGET_MS = 300;
const MINIMUM_RUNS = 5;
const ENOUGH = { runs: MINIMUM_RUNS, ms: 0 };
/** Every model is timed once per round, and its lowest median counts: other load only adds time, and rarely in both rounds. */
const ROUNDS = 2;
/**
 * Blocks per measured model. A run has costs before its first and after its last block (the call, ONNX Runtime's layout conversions at the
 * ends of a graph) that do not occur between two blocks of a network. The longer the chain, the less they weigh.
 */
const CHAIN = 6;

/** Times models with the requested number of runs, or fewer (at least 5) if they take long. */
export function runtimeTimer(settings: ProfilingSettings): Timer {
  const { warmupRuns, timedRuns } = settings;
  const sampling: Sampling = { warmupRuns, timedRuns, budgetMs: BUDGET_MS, minimumRuns: MINIMUM_RUNS, enough: ENOUGH };
  return {
    seconds: async (model, signal) => medianOf((await sampleModel(model, settings, sampling, signal)).seconds),
    network: async (model, signal) => {
      const [measured] = await measureNetwork({ model, size: undefined, batchSizes: [1] }, settings, signal);
      if (!measured) throw new LatheError("INTERNAL", "the largest network was not measured");
      return measured;
    },
  };
}

/** Widths of two alternating blocks: in -> middles[0] -> out, then out -> middles[1] -> in. */
interface ChainWidths {
  input: number;
  output: number;
  middles: [number, number];
}

/**
 * The widths at which a stage's operators are measured: the largest and the smallest, two mixed chains that separate in * mid from
 * mid * out (wide middle after a wide or after a narrow input), and the median width. For a stage with one width, the second is half of it.
 */
function widthPoints(widths: readonly number[], channels: number): ChainWidths[] {
  const smallest = widths[0] ?? channels;
  const low = smallest < channels ? smallest : Math.max(1, Math.floor(channels / 2));
  const between = widths[Math.floor(widths.length / 2)] ?? channels;
  const square = (width: number): ChainWidths => ({ input: width, output: width, middles: [width, width] });
  return [
    square(channels),
    square(low),
    { input: channels, output: low, middles: [channels, low] },
    { input: channels, output: low, middles: [low, channels] },
    ...(between > low && between < channels ? [square(between)] : []),
  ];
}

/** A model to measure, for one row of the table. */
interface OperatorPoint {
  /** "stage1/d4s2". */
  id: string;
  chain: BlockChain;
}

/** All models that the table of a space needs. Rows are in the order of macsTable. */
export function operatorPoints(space: SearchSpace): OperatorPoint[] {
  return space.stages.flatMap(({ widths, channels }, index) =>
    operations(space).flatMap((operation) =>
      widthPoints(widths, channels).map((point) => ({
        id: candidateId(index + 1, operation.name),
        chain: {
          inputs: point.input,
          blocks: Array.from({ length: CHAIN }, (_, i) => blockAt(operation, point, i)),
          height: space.inputHeight / strideOf(index + 1),
          width: space.inputWidth / strideOf(index + 1),
        },
      })),
    ),
  );
}

function blockAt({ dilation, scale }: Operation, { input, output, middles }: ChainWidths, i: number): GenotypeBlock {
  const turn = i % 2;
  return { dilation, scale, middleWidth: middles[turn] ?? 0, outputWidth: turn === 0 ? output : input };
}

/** Mean products of widths over the blocks of a chain. Means suffice, because a row's cost is linear in both products. */
function chainProducts({ inputs, blocks }: BlockChain): { inMiddle: number; middleOut: number } {
  const mean = (product: (block: GenotypeBlock, i: number) => number) =>
    blocks.reduce((sum, block, i) => sum + product(block, i), 0) / blocks.length;
  return {
    inMiddle: mean((block, i) => (blocks[i - 1]?.outputWidth ?? inputs) * block.middleWidth),
    middleOut: mean((block) => block.middleWidth * block.outputWidth),
  };
}

/**
 * Measures the latency table of a space on this device. Rows are fitted to chains of blocks, less the cost of an empty run. The fixed part
 * is the time of the network without blocks. The model error compares the table with the measured largest network of the space.
 */
export async function measureOperators(
  space: SearchSpace,
  { deviceClass }: Pick<ProfilingSettings, "deviceClass">,
  timer: Timer,
  signal: AbortSignal,
): Promise<MeasuredOperators> {
  const points = operatorPoints(space);
  const chainModel = (point: OperatorPoint) => () => chainOnnx(point.chain);
  const models = [emptyOnnx, () => searchNetworkOnnx(withoutBlocks(space)), ...points.map(chainModel)];
  const [overhead = 0, fixed = 0, ...runs] = await lowest(models, timer, signal);
  const samples = new Map<string, OperatorSample[]>();
  points.forEach(({ id, chain }, i) => {
    const run = runs[i] ?? Number.NaN;
    // If the cost of an empty run exceeds nine tenths of the time, the blocks get a tenth: their cost must be positive.
    const seconds = Math.max(run - overhead, run / 10) / chain.blocks.length;
    samples.set(id, [...(samples.get(id) ?? []), { ...chainProducts(chain), seconds }]);
  });
  const fits = [...samples].map(([id, rows]) => ({ id, rows, fit: fitOperator(rows) }));
  const table: CostTable = {
    metric: CostMetric.COST_METRIC_LATENCY,
    candidates: fits.map(({ id, fit: { inMiddle, middleOut, fixed } }) => ({ id, inMiddle, middleOut, fixed })),
    fixed,
    device: deviceClass,
  };
  const genotype = largestGenotype(space);
  const largest = await timer.network(searchNetworkOnnx(genotype), signal);
  const seconds = medianOf(largest.samples.seconds);
  const count = fits.reduce((sum, { rows }) => sum + rows.length, 0);
  if (count === 0) throw new LatheError("INVALID_ARGUMENT", "the space has no candidate operations to measure");
  return {
    table,
    largest,
    fitError: fits.reduce((sum, { rows, fit }) => sum + rows.length * fit.relativeError, 0) / count,
    modelError: Math.abs(genotypeCost(genotype, table) - seconds) / seconds,
  };
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

/** The network of stem, reductions and search head at full width, without blocks. */
function withoutBlocks(space: SearchSpace): Genotype {
  const largest = largestGenotype(space);
  return { ...largest, stages: largest.stages.map((stage) => ({ ...stage, blocks: [] })) };
}
