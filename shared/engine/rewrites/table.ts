import { checkGraph, type Graph } from "../graph";
import { activateParts } from "./activations";
import { enlargeChannelsLast } from "./classMap";
import { splitConvolutions } from "./concats";
import { convolveNorms, sumReductions } from "./norms";
import { stackPyramid } from "./pyramid";
import { padWidths } from "./widths";

export type Rewrite = (graph: Graph) => Graph;

/** Rewrites of a network that change its speed and not its function, in the order in which they apply. docs/engine.md#rewrites */
export const REWRITES = {
  reductions: sumReductions,
  norms: convolveNorms,
  activations: activateParts,
  pyramid: stackPyramid,
  concatenations: splitConvolutions,
  widths: padWidths,
  classes: enlargeChannelsLast,
} satisfies Record<string, Rewrite>;

/** The graph after rewrites, by default all of them. */
export function rewritten(graph: Graph, rewrites: readonly Rewrite[] = Object.values(REWRITES)): Graph {
  const result = rewrites.reduce((before, rewrite) => rewrite(before), graph);
  checkGraph(result);
  return result;
}
