import { createRandom } from "../../shared/engine/random";
import type { CostCheck, CostTable, Genotype, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { genotypeCost } from "../../shared/space/cost";
import { randomGenotype } from "../../shared/space/sampling";

/** A network of the space with its measured time. */
interface MeasuredGenotype {
  genotype: Genotype;
  seconds: number;
}

/** Networks that scale a table, and networks that check it. */
const [SCALING, CHECKING] = [6, 12];
const SEED = 1;

/** Networks drawn from the space, every choice uniform: the first scale a table, the others check it. */
export function sampledNetworks(space: SearchSpace): Genotype[] {
  const random = createRandom(SEED, "latency table");
  return Array.from({ length: SCALING + CHECKING }, () => randomGenotype(space, random));
}

/**
 * The factor s of all blocks' costs b that minimises sum ((fixed + s b - t) / t)^2 over the scaling networks, with t their measured times:
 * s = sum b (t - fixed) / t^2 / sum b^2 / t^2. At least a tenth, because costs must be positive.
 */
export function blocksScale(measured: readonly MeasuredGenotype[], table: CostTable): number {
  let [above, below] = [0, 0];
  for (const { genotype, seconds } of measured.slice(0, SCALING)) {
    const blocks = genotypeCost(genotype, table) - table.fixed;
    above += (blocks * (seconds - table.fixed)) / seconds ** 2;
    below += blocks ** 2 / seconds ** 2;
  }
  return Math.max(above / below, 0.1);
}

/** The predictions for the checking networks against their measured times. */
export function checkOf(measured: readonly MeasuredGenotype[], predict: (genotype: Genotype) => number): CostCheck {
  const checked = measured.slice(SCALING).map(({ genotype, seconds }) => ({ seconds, predicted: predict(genotype) }));
  const errors = checked.map(({ seconds, predicted }) => Math.abs(predicted - seconds) / seconds);
  return {
    networks: checked.length,
    meanError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    rankCorrelation: spearman(
      checked.map(({ predicted }) => predicted),
      checked.map(({ seconds }) => seconds),
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
