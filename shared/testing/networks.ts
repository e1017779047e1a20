import type { TensorTable } from "../network/declaration";
import type { Architecture, Genotype, Group, SearchSpace } from "../proto/lathe/v1/space";
import { indexGroups, liveGroups } from "../space/groups";
import { randomGenotype as drawGenotype } from "../space/sampling";

/** Two stages with depth search, four operations of both scales and three widths: small, and every dimension is searched. */
export function smallSpace(overrides: Partial<SearchSpace> = {}): SearchSpace {
  const stage = (channels: number, dropout: number) => ({
    channels,
    minDepth: 1,
    maxDepth: 2,
    widths: [channels / 4, channels / 2, channels],
    dropout,
  });
  return {
    inputHeight: 32,
    inputWidth: 64,
    classes: 5,
    stemChannels: 6,
    stages: [stage(8, 0.1), stage(12, 0.3)],
    dilations: [1, 2],
    scales: [1, 2],
    kinds: [],
    ...overrides,
  };
}

/**
 * Values for every tensor of a table, chosen so that each affects the result: gammas of both signs and away from 0, positive variances,
 * betas and means around 0.
 */
export function randomBuffer(table: TensorTable, random: () => number): Float32Array {
  const buffer = new Float32Array(table.size);
  for (const { kind, shape, offset } of table.entries) {
    const size = shape.reduce((product, extent) => product * extent, 1);
    const fanIn = shape.length >= 4 ? shape.slice(-3).reduce((product, extent) => product * extent, 1) : 1;
    for (let at = offset; at < offset + size; at++) {
      const signed = 2 * random() - 1;
      if (kind === "gamma") buffer[at] = (signed < 0 ? -1 : 1) * (0.5 + random());
      else if (kind === "variance") buffer[at] = 0.5 + random();
      else if (kind === "filter") buffer[at] = signed * Math.sqrt(3 / fanIn);
      else buffer[at] = 0.5 * signed;
    }
  }
  return buffer;
}

/** The architecture with the survivors that `keep` picks in each group, without the groups whose parent has left. */
export function keepSurvivors(
  space: SearchSpace,
  architecture: Architecture,
  keep: (group: Group) => readonly number[],
): Architecture {
  const groups = new Map(
    architecture.groups.map((group): [string, Group] => {
      const kept = new Set(keep(group));
      const places = group.survivors.flatMap((survivor, index) => (kept.has(survivor) ? [index] : []));
      const pick = (values: readonly number[]) => places.map((index) => values[index] ?? 0);
      return [group.id, { ...group, survivors: pick(group.survivors), alphas: pick(group.alphas) }];
    }),
  );
  return { groups: liveGroups(space, groups).flatMap(({ id }) => groups.get(id) ?? []) };
}

/** Keeps in each group a random non-empty part of its survivors. */
export function keepSome(
  space: SearchSpace,
  architecture: Architecture,
  random: () => number,
  share = 0.6,
): Architecture {
  return keepSurvivors(space, architecture, ({ survivors }) => {
    const chosen = survivors[Math.floor(random() * survivors.length)];
    return survivors.filter((survivor) => survivor === chosen || random() < share);
  });
}

/** The architecture with the alphas of `before`, except that the candidates which `after` lacks have p = 0 exactly. */
export function silence(before: Architecture, after: Architecture): Architecture {
  const kept = indexGroups(after);
  return {
    groups: before.groups.map((group) => {
      const survivors = kept.get(group.id)?.survivors;
      // A group that has left as a whole belongs to a candidate with p = 0, so its alphas do not matter.
      const alphas = group.alphas.map((alpha, index) =>
        survivors && !survivors.includes(group.survivors[index] ?? -1) ? -1000 : alpha,
      );
      return { ...group, alphas };
    }),
  };
}

/** A random network of a space. */
export function randomGenotype(space: SearchSpace, random: () => number): Genotype {
  return drawGenotype(space, { integer: (bound) => Math.floor(random() * bound) });
}

/** Uniform values in -1..1. */
export function noise(length: number, random: () => number): Float32Array {
  return Float32Array.from({ length }, () => 2 * random() - 1);
}
