import { createRandom } from "../../../shared/engine/random";
import { unpackAlphas } from "../../../shared/network/alphas";
import { firstState, type Optimized, type SupernetState } from "../../../shared/network/checkpoint";
import { inheritBuffer } from "../../../shared/network/inherit";
import { initialStats, initialWeights } from "../../../shared/network/initialise";
import { buildSupernet } from "../../../shared/network/supernet";
import type { Architecture, SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { initialArchitecture } from "../../../shared/space/groups";

/** The whole supernet of a space with random weights from a seed. */
export function initialSupernet(space: SearchSpace, seed: number): SupernetState {
  const supernet = buildSupernet(space, initialArchitecture(space));
  const weights = initialWeights(supernet.weights, createRandom(seed, "weights"));
  return firstState(supernet, weights, initialStats(supernet.stats));
}

/** Takes removed candidates out of every vector of a state: weights, Adam moments, statistics, architecture parameters. */
export function shrunk(state: SupernetState, architecture: Architecture): SupernetState {
  const from = state.supernet;
  const to = buildSupernet(from.space, architecture);
  const carry = (role: "weights" | "alphas", old: Optimized): Optimized => ({
    values: inheritBuffer(old.values, role, from, to),
    m: inheritBuffer(old.m, role, from, to),
    v: inheritBuffer(old.v, role, from, to),
    steps: old.steps,
  });
  return {
    supernet: to,
    weights: carry("weights", state.weights),
    stats: inheritBuffer(state.stats, "stats", from, to),
    alphas: carry("alphas", state.alphas),
  };
}

/** The architecture of a state with the current values of its parameters. */
export function architectureOf({ supernet, alphas }: SupernetState): Architecture {
  return unpackAlphas(supernet, supernet.architecture, alphas.values);
}
