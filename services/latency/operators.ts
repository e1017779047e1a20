import { LatheError } from "../../shared/process/errors";
import {
  CostMetric,
  type CandidateCost,
  type CostTable,
  type Genotype,
  type SearchSpace,
} from "../../shared/proto/lathe/v1/space";
import { candidateId, genotypeCost, smallestGenotype } from "../../shared/space/cost";
import { headPoints, headTables } from "../../shared/space/headTables";
import { largestGenotype, withoutBlocks } from "../../shared/space/genotype";
import { operationFields, operations, stageOf } from "../../shared/space/groups";
import { kindOf } from "../../shared/space/kinds/kinds";
import { strideOf } from "../../shared/space/parts";
import { chainOnnx, emptyOnnx, networkOnnxOf, type BlockChain } from "./blocks";
import { middleBounds, stageBounds } from "./bounds";
import { blocksScale, checkOf, SAMPLED, sampledNetworks } from "./check";
import { exitCosts, exitPoints } from "./exits";
import type { Measured } from "./network";
import { ratiosOf, ROUNDS, type FragmentCalls } from "./ratios";
import type { ProfilingSettings } from "./settings";
import type { Stopwatch, Timer } from "./timer";

export interface MeasuredOperators {
  /** In units of the calibration network. */
  table: CostTable;
  /** The space's largest network. Its conditions are those of all measurements. */
  largest: Measured;
  /** The space's smallest network by the table. */
  smallest: Measured;
  /** Timer.quietUnit; undefined where every fragment was known. */
  quietUnit: number | undefined;
}

/** The operators to measure: the candidates of a space, in networks whose head has these pyramid channels (networkOnnxOf). */
export interface Operators {
  space: SearchSpace;
  pyramidChannels: number;
}

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
  return stageBounds(space, tile).flatMap(({ inputs }, index) =>
    operations(space).flatMap((operation) => {
      const middles = middleBounds(stageOf(space, index + 1), kindOf(operation).expansion, tile);
      return inputs.flatMap((input) =>
        middles.map((middle) => ({
          ...{ id: candidateId(index + 1, operation.name), input, middle },
          chain: {
            inputs: input,
            blocks: Array.from({ length: CHAIN }, () => ({
              ...operationFields(operation),
              ...{ middleWidth: middle, outputWidth: input },
            })),
            height: space.inputHeight / strideOf(index + 1),
            width: space.inputWidth / strideOf(index + 1),
          },
        })),
      );
    }),
  );
}

/**
 * Measures the latency table of a space on this device, in units of the calibration network: what was measured at other speeds of the device,
 * and by other searches, is in one unit so. A chain of blocks input -> middle -> input, less the cost of an empty run, gives A(input, middle) +
 * B(middle, input). Both get half of it, because only sums over whole networks count, in which every width that a block gives is taken by
 * another of the same kind. Between two kinds that differ in their cost per input channel the sum is off by half of that difference. The fixed part is the time of the network without blocks, and networks with one block tell how it falls where a stage ends in fewer
 * channels (exitPoints).
 * The same with the searched widths of the head (headPoints). One factor for all blocks is fitted to networks of the space, and others check the table (CostTable.check).
 */
export async function measureOperators(
  { space, pyramidChannels }: Operators,
  { deviceClass }: Pick<ProfilingSettings, "deviceClass">,
  timer: Timer,
  calls: FragmentCalls,
  signal: AbortSignal,
): Promise<MeasuredOperators> {
  const points = operatorPoints(space, timer.tile);
  if (points.length === 0) throw new LatheError("INVALID_ARGUMENT", "the space has no candidate operations to measure");
  const networkOf = (genotype: Genotype) => networkOnnxOf(genotype, pyramidChannels);
  const exits = exitPoints(space, timer.tile);
  const ends = [withoutBlocks(space), ...exits.map(({ genotype }) => genotype), ...headPoints(space)];
  const all = ROUNDS * (1 + points.length + ends.length + SAMPLED.scaling + SAMPLED.checking);
  let [measured, fastest] = [0, Infinity];
  const measure = async (models: readonly (() => Uint8Array)[], stopwatch: Stopwatch) => {
    const progress = (done: number) => calls.progress(measured + done, all);
    const found = await ratiosOf(models, stopwatch, calls, signal, progress, fastest);
    measured += ROUNDS * models.length;
    fastest = found.fastest;
    return found.ratios;
  };
  const measureNetworks = (genotypes: readonly Genotype[]) =>
    measure(
      genotypes.map((genotype) => () => networkOf(genotype)),
      timer.networks,
    );

  const chains = points.map(
    ({ chain }) =>
      () =>
        chainOnnx(chain),
  );
  const [overhead = 0, ...runs] = await measure([emptyOnnx, ...chains], timer.blocks);
  const [fixed = 0, ...times] = await measureNetworks(ends);
  const ended = exits.map((point, i) => ({ ...point, time: times[i] ?? Number.NaN }));
  const head = headTables(space, times.slice(exits.length), fixed);
  const costs = new Map<string, number>();
  points.forEach(({ id, input, middle }, i) => {
    const run = runs[i] ?? Number.NaN;
    // If the cost of an empty run exceeds nine tenths of the time, the blocks get a tenth: their cost must be positive.
    costs.set(keyOf(id, input, middle), Math.max(run - overhead, run / 10) / CHAIN);
  });
  const table = (scale: number): CostTable => {
    const rows = candidates(space, timer.tile, (...key) => scale * (costs.get(keyOf(...key)) ?? Number.NaN));
    const metric = CostMetric.COST_METRIC_LATENCY;
    return {
      ...{ metric, candidates: rows, exits: exitCosts(space, ended, rows) },
      ...{ fixed, device: deviceClass, check: undefined, unit: undefined, ...head },
    };
  };
  const { scaling, checking } = sampledNetworks(space, table(1));
  const networks = [...scaling, ...checking];
  const whole = await measureNetworks(networks);
  const timed = networks.map((genotype, i) => ({ genotype, time: whole[i] ?? Number.NaN }));
  const scaled = table(blocksScale(timed.slice(0, scaling.length), table));
  const check = checkOf(timed.slice(scaling.length), (genotype) => genotypeCost(genotype, scaled));
  const largest = await timer.network(networkOf(largestGenotype(space)), signal);
  const smallest = await timer.network(networkOf(smallestGenotype(space, scaled)), signal);
  return { table: { ...scaled, check }, largest, smallest, quietUnit: timer.quietUnit() };
}

const keyOf = (id: string, input: number, middle: number): string => `${id} ${input} ${middle}`;

/** The rows of a table whose block input -> middle -> input costs as given. */
function candidates(
  space: SearchSpace,
  tile: number,
  block: (id: string, input: number, middle: number) => number,
): CandidateCost[] {
  return stageBounds(space, tile).flatMap(({ inputs, outputs }, index) =>
    operations(space).map(({ name, kind }) => {
      const id = candidateId(index + 1, name);
      const middles = middleBounds(stageOf(space, index + 1), kindOf({ kind }).expansion, tile);
      const half = (input: number, middle: number) => block(id, input, middle) / 2;
      return {
        ...{ id, inMiddle: 0, middleOut: 0, fixed: 0, perInput: 0, perMiddle: 0 },
        byInput: { rows: inputs, columns: middles, costs: inputs.flatMap((i) => middles.map((m) => half(i, m))) },
        byOutput: { rows: middles, columns: outputs, costs: middles.flatMap((m) => outputs.map((o) => half(o, m))) },
      };
    }),
  );
}
