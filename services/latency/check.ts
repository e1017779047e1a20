import { createRandom } from "../../shared/engine/random";
import type { CostCheck, CostTable, Genotype, GenotypeBlock, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { genotypeCost, smallestGenotype } from "../../shared/space/cost";
import { largestGenotype } from "../../shared/space/genotype";
import { headWidth, searchedWidths, withHeadWidths } from "../../shared/space/head";
import { randomGenotype, type Draws } from "../../shared/space/sampling";

/** A network of the space with its measured time, in the unit of the table. */
interface MeasuredGenotype {
  genotype: Genotype;
  time: number;
}

/** Networks that scale a table, and networks that check it. */
export const SAMPLED = { scaling: 6, checking: 12 };
const COUNT = SAMPLED.scaling + SAMPLED.checking;
/** Networks to choose each of them from. */
const DRAWN = 20;
const SEED = 1;

/**
 * Networks of the space whose costs by the table, which needs no scale, lie evenly from those of the smallest network to those of the
 * largest: a search visits the whole range. Networks drawn uniformly cost nearly the same. One of three scales a table, the others check it.
 */
export function sampledNetworks(space: SearchSpace, table: CostTable): { scaling: Genotype[]; checking: Genotype[] } {
  const random = createRandom(SEED, "latency table");
  const [smallest, largest] = [smallestGenotype(space, table), largestGenotype(space)];
  const drawn = Array.from({ length: COUNT * DRAWN }, (_, i) => {
    const place = (2 * i) / (COUNT * DRAWN - 1) - 1;
    const genotype = near(place < 0 ? smallest : largest, Math.abs(place), space, random);
    return { genotype, cost: genotypeCost(genotype, table) };
  });
  const costs = drawn.map(({ cost }) => cost);
  const [least, most] = [Math.min(...costs), Math.max(...costs)];
  const chosen = Array.from({ length: COUNT }, (_, i) => {
    const wanted = least + ((most - least) * i) / (COUNT - 1);
    const distance = ({ cost }: { cost: number }) => Math.abs(cost - wanted);
    const nearest = drawn.reduce((best, each) => (distance(each) < distance(best) ? each : best));
    drawn.splice(drawn.indexOf(nearest), 1);
    return nearest.genotype;
  });
  return { scaling: chosen.filter((_, i) => i % 3 === 1), checking: chosen.filter((_, i) => i % 3 !== 1) };
}

/** A network of the space each of whose decisions is that of another network with probability `share`, and drawn uniformly otherwise. */
function near(other: Genotype, share: number, space: SearchSpace, random: Draws): Genotype {
  const isShared = () => random.integer(1000) < 1000 * share;
  const drawn = randomGenotype(space, random);
  const stages = drawn.stages.map((stage, s) => {
    const model = other.stages[s]?.blocks ?? [];
    const depth = isShared() ? model.length : stage.blocks.length;
    const blocks = Array.from({ length: depth }, (_, b) => {
      // All blocks of a stage of the other network are equal.
      const own = stage.blocks[b] ?? model[0];
      const [operation, middle, output] = [isShared(), isShared(), isShared()].map((is) => (is && model[0]) || own);
      const { middleWidth } = middle as GenotypeBlock;
      return { ...(operation as GenotypeBlock), middleWidth, outputWidth: (output as GenotypeBlock).outputWidth };
    });
    return { ...stage, blocks };
  });
  const head = new Map(searchedWidths(space).map((width) => [width, headWidth(width, isShared() ? other : drawn)]));
  return withHeadWidths({ ...drawn, stages }, (width) => head.get(width) ?? width.full(space));
}

/**
 * The factor s of all blocks' costs b that minimises sum ((r + s b - t) / t)^2 over the scaling networks, with t their measured times and r the
 * rest of their costs: s = sum b (t - r) / t^2 / sum b^2 / t^2. At least a tenth, because costs must be positive. `table` gives the table of a
 * factor, in which costs are linear.
 */
export function blocksScale(measured: readonly MeasuredGenotype[], table: (scale: number) => CostTable): number {
  const [none, whole] = [table(0), table(1)];
  let [above, below] = [0, 0];
  for (const { genotype, time } of measured) {
    const rest = genotypeCost(genotype, none);
    const blocks = genotypeCost(genotype, whole) - rest;
    above += (blocks * (time - rest)) / time ** 2;
    below += blocks ** 2 / time ** 2;
  }
  return Math.max(above / below, 0.1);
}

/** The predictions for the checking networks against their measured times. */
export function checkOf(measured: readonly MeasuredGenotype[], predict: (genotype: Genotype) => number): CostCheck {
  const checked = measured.map(({ genotype, time }) => ({ time, predicted: predict(genotype) }));
  const errors = checked.map(({ time, predicted }) => Math.abs(predicted - time) / time);
  return {
    networks: checked.length,
    meanError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    rankCorrelation: spearman(
      checked.map(({ predicted }) => predicted),
      checked.map(({ time }) => time),
    ),
  };
}

/** Spearman's rank correlation: Pearson's of the ranks, where equal values share their mean rank. 0 where one side is constant. */
export function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [centred(ranks(a)), centred(ranks(b))];
  const dot = (u: readonly number[], v: readonly number[]) => u.reduce((sum, value, i) => sum + value * (v[i] ?? 0), 0);
  const norm = Math.sqrt(dot(x, x) * dot(y, y));
  return norm > 0 ? dot(x, y) / norm : 0;
}

const ranks = (values: readonly number[]): number[] =>
  values.map((value) => {
    const smaller = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return smaller + (equal + 1) / 2;
  });

function centred(values: readonly number[]): number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}
