import type { Architecture, Genotype, SearchSpace } from "../proto/lathe/v1/space";
import { choicesOf } from "./genotype";
import { liveGroups, spaceGroups } from "./groups";

/** The architecture in which only the choices of a network of the space survive. */
export function decidedArchitecture(space: SearchSpace, genotype: Genotype): Architecture {
  const chosen = choicesOf(space, genotype);
  const groups = new Map(
    spaceGroups(space).map(({ id, dimension }) => [
      id,
      { id, dimension, alphas: [0], survivors: [chosen.get(id) ?? 0] },
    ]),
  );
  return { groups: liveGroups(space, groups).flatMap(({ id }) => groups.get(id) ?? []) };
}
