import {
  CostMetric,
  type Architecture,
  type CostTable,
  type Group,
  type SearchSpace,
  type WidthCosts,
} from "../proto/lathe/v1/space";
import { macsTable } from "../space/cost";
import { initialArchitecture, liveGroups } from "../space/groups";
import { KINDS } from "../space/kinds/kinds";

/** Uniform numbers in [0, 1) from a seed (mulberry32), so that a failing case can be run again. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A small valid space of two or three stages, with either head; that of retraining may have searched widths. */
export function randomSpace(random: () => number): SearchSpace {
  const below = (n: number): number => Math.floor(random() * n);
  const stage = (channels: number): SearchSpace["stages"][number] => {
    const minDepth = 1 + below(2);
    const widths = [channels / 4, channels / 2, (channels * 3) / 4].filter(() => random() < 0.6);
    return { channels, minDepth, maxDepth: minDepth + below(3), widths: [...widths, channels], dropout: 0 };
  };
  const stages = [stage(16), stage(32), ...(random() < 0.3 ? [stage(48)] : [])];
  const rest = {
    dilations: [1, 2, 4].slice(0, 1 + below(3)),
    scales: random() < 0.5 ? [1] : [1, 2],
    kinds: KINDS.filter(() => random() < 0.4).map(({ kind }) => kind),
  };
  const some = (widths: number[], full: number) => [...widths.filter(() => random() < 0.6), full];
  const head = random() < 0.5 && {
    pyramidChannels: 4,
    headWidths: {
      joined: random() < 0.7 ? some([8, 16], 32) : [],
      pyramid: random() < 0.7 ? some([0, 1, 3], 4) : [],
      detail: random() < 0.7 ? some([4, 8], 16) : [],
    },
  };
  return {
    inputHeight: 64,
    inputWidth: 128,
    classes: 5,
    stemChannels: 8,
    ...{ stages, ...rest },
    ...(head || { pyramidChannels: 0 }),
  };
}

/** A table with a random cost for each pair of width bounds and each exit, of which a stage has three. */
export function measuredTable(space: SearchSpace, random: () => number): CostTable {
  const table = macsTable(space);
  const costs = (channels: number): WidthCosts => {
    const bounds = [Math.ceil(channels / 3), Math.ceil((2 * channels) / 3), channels];
    return { rows: bounds, columns: bounds, costs: bounds.flatMap(() => bounds.map(() => random())) };
  };
  const candidates = table.candidates.map((row) => {
    const { channels = 0 } = space.stages[Number(/^stage(\d+)/.exec(row.id)?.[1]) - 1] ?? {};
    const none = { inMiddle: 0, middleOut: 0, perInput: 0, perMiddle: 0 };
    return { ...row, ...none, fixed: random(), byInput: costs(channels), byOutput: costs(channels) };
  });
  const exits = space.stages.map(({ channels }) => ({
    widths: [Math.ceil(channels / 3), Math.ceil((2 * channels) / 3), channels],
    costs: [-random() / 4, -random() / 8, 0],
  }));
  // 0 at full width: of both widths, and of the detail.
  const saved = (costs: WidthCosts, isFull: (index: number) => boolean): WidthCosts => ({
    ...costs,
    costs: costs.costs.map((_, index) => (isFull(index) ? 0 : -random() / 4)),
  });
  const head = table.head && saved(table.head, (index) => index + 1 === table.head?.costs.length);
  const columns = table.detail?.columns.length ?? 0;
  const detail = table.detail && saved(table.detail, (index) => (index + 1) % columns === 0);
  const measured = { metric: CostMetric.COST_METRIC_LATENCY, fixed: 1 + random(), device: "cpu" };
  return { ...table, ...measured, candidates, exits, ...(head && { head }), ...(detail && { detail }) };
}

/** Keeps in each group a random non-empty part of its survivors, of size 1 with the given probability, and spreads the alphas. */
export function randomArchitecture(
  space: SearchSpace,
  random: () => number,
  { spread = 3, decided = 0.3 }: { spread?: number; decided?: number } = {},
): Architecture {
  const groups = new Map(
    initialArchitecture(space).groups.map((entry): [string, Group] => {
      const chosen = Math.floor(random() * entry.survivors.length);
      const alone = random() < decided;
      const survivors = entry.survivors.filter((_, index) => index === chosen || (!alone && random() < 0.6));
      return [entry.id, { ...entry, survivors, alphas: survivors.map(() => (random() * 2 - 1) * spread) }];
    }),
  );
  return { groups: liveGroups(space, groups).flatMap(({ id }) => groups.get(id) ?? []) };
}
