import type { SearchCreated, SearchBranched } from "../../shared/proto/lathe/v1/events";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { isSampling } from "../../shared/spec/algorithm";
import { MAX_LABELS } from "../../shared/spec/bounds";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { targetsOf, type NamedTarget } from "../../shared/spec/target";
import type { SearchRecord } from "./record";

/** A search that is to be created, and the event that says so in the history of its origin. */
export interface NewBranch {
  id: string;
  created: SearchCreated;
  branched: SearchBranched;
}

/** The latencies of a spec that become searches of their own: all but the slowest. Networks that are drawn within a cost window leave no supernet. */
const branchTargets = (spec: SearchSpec): NamedTarget[] =>
  spec.cost && !isSampling(spec) ? targetsOf(spec.cost).slice(1) : [];

/** Number of the searches that a search with this spec branches into, beside itself. */
export const branchCount = (spec: SearchSpec | undefined): number => (spec ? branchTargets(spec).length : 0);

/** Id of a branch, counted from 1. It follows from that of the origin, so that a repetition creates no second one. */
export const branchId = (origin: string, number: number): string => `${origin}-${number + 1}`;

/**
 * The next branch of a search for several latencies, once its supernet is trained: a search for the next faster latency, from the same
 * supernet. Undefined where all of them exist.
 */
export function nextBranch({ search, ordinals, costTable }: SearchRecord): NewBranch | undefined {
  const { id: origin, spec, space, result } = search;
  const number = (ordinals["search.branched"] ?? 0) + 1;
  const next = spec && branchTargets(spec)[number - 1];
  if (!spec?.cost || !next) return undefined;
  const { text, target } = next;
  // A label of the client stays.
  const labels = Object.keys(spec.labels).length < MAX_LABELS ? { target: text, ...spec.labels } : spec.labels;
  const branch = resolve({ ...spec, labels, cost: { ...spec.cost, ...target, targets: [] } }).spec;
  const id = branchId(origin, number);
  const { smallestSeconds = 0, largestSeconds = 0 } = result?.target ?? {};
  const { dataset, candidatesLeft = 0, convergedEpoch = 0 } = result ?? {};
  return {
    id,
    created: {
      ...{ spec: branch, space, specSha256: specDigest(branch) },
      origin: {
        ...{ searchId: origin, costTable, smallestSeconds, largestSeconds },
        ...{ dataset, candidatesLeft, convergedEpoch },
      },
    },
    branched: { number, branch: { searchId: id, target: text } },
  };
}
