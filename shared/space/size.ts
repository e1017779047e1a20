import { Dimension, type Architecture, type SearchSpace } from "../proto/lathe/v1/space";
import { initialArchitecture } from "./groups";
import { liveHead, liveStages } from "./live";

/** Choices of one search block, by dimension: the product of the sizes of its groups. */
type BlockChoices = Record<"operation" | "output" | "middle", bigint>;

/** One stage: the choices of its blocks up to the deepest exit, and its surviving depths. */
interface StageChoices {
  blocks: BlockChoices[];
  depths: readonly number[];
}

/** Contribution of a dimension to the size of a space. */
interface Contribution {
  dimension: Dimension;
  log10: number;
}

/**
 * The exact number of remaining networks (docs/method.md#the-size-of-a-space):
 *
 *     size = prod over widths of the head of |widths| * prod over stages of  sum over surviving depths d of  prod over blocks b <= d of  size of block b
 *     size of block = |operations| * prod over surviving operations o of |output widths of o| * |middle widths of o|
 *
 * The width groups of every surviving operation count, chosen or not, because the supernet holds them all. This is how the paper counts; it
 * is an upper bound on the number of distinct networks. 1 if every group is decided.
 */
export function networks(space: SearchSpace, architecture: Architecture = initialArchitecture(space)): bigint {
  const inStages = choices(space, architecture).map((stage) => sum(exits(stage)));
  return product([...inStages, headChoices(space, architecture)]);
}

/** log10 of the number of remaining networks; 0 if every group is decided. */
export function log10Size(space: SearchSpace, architecture: Architecture = initialArchitecture(space)): number {
  return log10(networks(space, architecture));
}

/**
 * Contributions of the dimensions to log10Size, in the order depth, operation, output width, middle width. They sum to log10Size. Operation
 * and widths count the choices in the blocks of the deepest networks, and output width those of the head. Depth counts the shallower networks, whose contribution is small:
 * each block multiplies the choices, so nearly all networks have the largest depth.
 */
export function contributions(space: SearchSpace, start = initialArchitecture(space)): Contribution[] {
  const stages = choices(space, start);
  const blocks = stages.flatMap((stage) => stage.blocks);
  const of = (key: keyof BlockChoices) => log10(product(blocks.map((block) => block[key])));
  return [
    { dimension: Dimension.DIMENSION_DEPTH, log10: stages.reduce((total, stage) => total + log10OfDepths(stage), 0) },
    { dimension: Dimension.DIMENSION_OPERATION, log10: of("operation") },
    { dimension: Dimension.DIMENSION_OUTPUT_WIDTH, log10: of("output") + log10(headChoices(space, start)) },
    { dimension: Dimension.DIMENSION_MIDDLE_WIDTH, log10: of("middle") },
  ];
}

/** Choices of the widths of the head. */
const headChoices = (space: SearchSpace, architecture: Architecture): bigint =>
  product(liveHead(space, architecture).map(({ widths }) => BigInt(widths.length)));

function choices(space: SearchSpace, architecture: Architecture): StageChoices[] {
  const survivors = (groups: { survivors: readonly number[] }[]) =>
    product(groups.map((group) => BigInt(group.survivors.length)));
  return liveStages(space, architecture).map(({ blocks, exits }) => ({
    blocks: blocks.map(({ choice, operations }) => ({
      operation: BigInt(choice.survivors.length),
      output: survivors(operations.map(({ output }) => output)),
      middle: survivors(operations.map(({ middle }) => middle)),
    })),
    depths: exits,
  }));
}

/** Number of networks of a stage at each of its depths. */
function exits({ blocks, depths }: StageChoices): bigint[] {
  const reached = [1n];
  for (const { operation, output, middle } of blocks)
    reached.push((reached.at(-1) ?? 1n) * operation * output * middle);
  return depths.map((depth) => reached[depth] ?? 0n);
}

/** log10(1 + shallower / deepest) by the networks of a stage. log1p keeps ratios that are below the epsilon of a double. */
function log10OfDepths(stage: StageChoices): number {
  const ascending = exits(stage);
  const shallower = sum(ascending.slice(0, -1));
  if (shallower === 0n) return 0;
  return Math.log1p(10 ** (log10(shallower) - log10(ascending.at(-1) ?? 1n))) / Math.LN10;
}

function sum(values: bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}

function product(values: bigint[]): bigint {
  return values.reduce((total, value) => total * value, 1n);
}

/** log10 of a positive integer of any size, from its number of digits and its leading digits. */
function log10(value: bigint): number {
  const digits = value.toString();
  // 17 digits determine a double.
  return digits.length - 1 + Math.log10(Number(`${digits.slice(0, 1)}.${digits.slice(1, 18)}`));
}

/** "2.78e324" for 324.444: formats numbers beyond the range of a double. */
export function formatLog10(log10: number): string {
  let exponent = Math.floor(log10);
  let mantissa = (10 ** (log10 - exponent)).toFixed(2);
  if (mantissa === "10.00") {
    mantissa = "1.00";
    exponent += 1;
  }
  return `${mantissa}e${exponent}`;
}
