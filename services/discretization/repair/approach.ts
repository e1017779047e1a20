import type { Genotype, SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { keyOf } from "../../../shared/space/sampling";
import { changesOf, type Change } from "./changes";

interface Aim {
  /** The wanted cost, in the unit of `costOf`. */
  goal: number;
  costOf: (genotype: Genotype) => number;
  /** Validation mIoU of a genotype with inherited weights. */
  miouOf: (genotype: Genotype) => Promise<number>;
}

/** Distance from the goal, as a share of it, that is near enough. The rest of the tolerance is left to the error of the prediction. */
const NEAR = 0.02;
const MOST_ROUNDS = 12;
/** Share of the way that is left to the next round, which judges it anew. */
const REST = 1 / 4;
/** Networks that a round evaluates. */
const MOST_OPTIONS = 24;
/** Pairs of changes that are evaluated where no single one helps. */
const MOST_PAIRS = 12;
/** Smallest change of cost that counts, as a share of the goal: widths of one tile cost the same. */
const LEAST_STEP = 0.001;

/** A network that one or two changes make. */
interface Option {
  changes: readonly Change[];
  genotype: Genotype;
  cost: number;
}

/**
 * Changes a genotype step by step until its cost is within 2 % of the goal, or until no change of one or two decisions brings it nearer. A
 * round evaluates changes that bring the cost nearer, and makes those that lose least mIoU per cost, over at most three quarters of the way.
 */
export async function approach(
  space: SearchSpace,
  from: Genotype,
  aim: Aim,
  progress: (done: number, of: number) => void = () => {},
): Promise<{ genotype: Genotype; evaluated: number }> {
  const known = new Map<string, number>();
  let planned = 0;
  const miouOf = async (genotype: Genotype): Promise<number> => {
    const key = keyOf(genotype);
    const already = known.get(key);
    if (already !== undefined) return already;
    const miou = await aim.miouOf(genotype);
    known.set(key, miou);
    progress(known.size, planned);
    return miou;
  };
  const { goal, costOf } = aim;
  const missOf = (cost: number): number => Math.abs(cost - goal) / goal;
  let genotype = from;
  for (let round = 0; round < MOST_ROUNDS && missOf(costOf(genotype)) > NEAR; round++) {
    const now = { changes: [], genotype, cost: costOf(genotype) };
    const steps = optionsOf(space, now, aim);
    const nearer = steps.filter(({ cost }) => missOf(cost) < missOf(now.cost));
    const options = nearer.length > 0 ? nearest(nearer, now.cost) : pairs(space, steps, now, aim);
    if (options.length === 0) break;
    const fresh = [now, ...options].filter((option) => !known.has(keyOf(option.genotype)));
    planned = known.size + fresh.length;
    progress(known.size, planned);
    const before = await miouOf(genotype);
    const judged: { option: Option; rate: number }[] = [];
    for (const option of options) {
      const loss = before - (await miouOf(option.genotype));
      judged.push({ option, rate: loss / Math.abs(option.cost - now.cost) });
    }
    judged.sort((a, b) => a.rate - b.rate);
    const most = missOf(now.cost) > 4 * NEAR ? missOf(now.cost) * REST : NEAR;
    for (const { option } of judged) {
      const next = option.changes.reduce<Genotype | undefined>((of, change) => of && change.apply(of), genotype);
      if (next && missOf(costOf(next)) < missOf(costOf(genotype))) genotype = next;
      if (missOf(costOf(genotype)) <= most) break;
    }
    if (genotype === now.genotype) break;
  }
  return { genotype, evaluated: known.size };
}

/** Every change of one decision that changes the cost. */
function optionsOf(space: SearchSpace, now: Option, { goal, costOf }: Aim): Option[] {
  return changesOf(space, now.genotype).flatMap((change) => {
    const genotype = change.apply(now.genotype);
    if (!genotype) return [];
    const cost = costOf(genotype);
    return Math.abs(cost - now.cost) > LEAST_STEP * goal ? [{ changes: [change], genotype, cost }] : [];
  });
}

/** Returns for each decision the change that moves the cost least and the one that moves it most, at most MOST_OPTIONS in all. */
function nearest(options: readonly Option[], cost: number): Option[] {
  const byDecision = new Map<string, Option[]>();
  for (const option of options) {
    const decision = option.changes[0]?.decision ?? "";
    byDecision.set(decision, [...(byDecision.get(decision) ?? []), option]);
  }
  const step = (option: Option) => Math.abs(option.cost - cost);
  const chosen = [...byDecision.values()].flatMap((same) => {
    const sorted = [...same].sort((a, b) => step(a) - step(b));
    return sorted.length > 2 ? [...sorted.slice(0, 1), ...sorted.slice(-1)] : sorted;
  });
  return chosen.sort((a, b) => step(b) - step(a)).slice(0, MOST_OPTIONS);
}

/** The pairs of changes that come nearest to the goal, nearer than the network as it is. */
function pairs(space: SearchSpace, steps: readonly Option[], now: Option, { goal, costOf }: Aim): Option[] {
  const found: Option[] = [];
  steps.forEach((first, index) => {
    for (const second of steps.slice(index + 1)) {
      const [a, b] = [first.changes[0], second.changes[0]];
      // Together they must have a chance to cancel out.
      if (!a || !b || a.decision === b.decision || first.cost < now.cost === second.cost < now.cost) continue;
      const genotype = b.apply(first.genotype);
      if (!genotype) continue;
      const cost = costOf(genotype);
      if (Math.abs(cost - goal) < Math.abs(now.cost - goal)) found.push({ changes: [a, b], genotype, cost });
    }
  });
  return found.sort((a, b) => Math.abs(a.cost - goal) - Math.abs(b.cost - goal)).slice(0, MOST_PAIRS);
}
