import type { Genotype } from "../../../../../shared/proto/lathe/v1/space";
import { keyOf, type CostWindow, type Draws } from "../../../../../shared/space/sampling";

/** A network that has been evaluated. */
interface Evaluated {
  genotype: Genotype;
  validationMiou: number;
}

interface Aging {
  population: number;
  tournament: number;
}

interface Proposal {
  genotype: Genotype;
  /** Number, from 1, of the network that was mutated; 0 if the genotype was drawn at random. */
  parent: number;
}

/** Draws before a known network is evaluated again: a small space may have no others. */
const TRIES = 20;

/**
 * Proposes the next network of an aging evolution (Real et al., 2019) from all earlier ones in order. The population is the newest
 * `population` networks. The best of a tournament, drawn from it with replacement, is mutated. The first population is drawn at random.
 * A network that has been evaluated before is skipped as long as others are found.
 */
export function propose(
  past: readonly Evaluated[],
  { population, tournament }: Aging,
  window: Pick<CostWindow, "draw" | "vary">,
  random: Draws,
): Proposal {
  const known = new Set(past.map(({ genotype }) => keyOf(genotype)));
  const once = (): Proposal => {
    if (past.length < population) return { genotype: window.draw(random), parent: 0 };
    const oldest = past.length - population;
    const drawn = Array.from({ length: tournament }, () => oldest + random.integer(population));
    const parent = drawn.reduce((best, at) => (miouAt(past, at) > miouAt(past, best) ? at : best));
    return { genotype: window.vary(past[parent]!.genotype, random), parent: parent + 1 };
  };
  let proposal = once();
  for (let at = 1; at < TRIES && known.has(keyOf(proposal.genotype)); at++) proposal = once();
  return proposal;
}

const miouAt = (past: readonly Evaluated[], at: number) => past[at]?.validationMiou ?? -1;
