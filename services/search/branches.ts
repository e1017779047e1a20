import type { SearchCreated, SearchBranched } from "../../shared/proto/lathe/v1/events";
import { isSampling } from "../../shared/spec/algorithm";
import { MAX_LABELS } from "../../shared/spec/bounds";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { targetsOf } from "../../shared/spec/target";
import type { SearchRecord } from "./record";

/** A search that is to be created, and the event that says so in the history of its origin. */
export interface NewBranch {
  id: string;
  created: SearchCreated;
  branched: SearchBranched;
}

/**
 * The next branch of a search for several latencies, once its supernet is trained: a search for the next faster latency, from the same
 * supernet. Undefined where all of them exist. The id follows from that of the origin, so that a repetition creates no second one.
 */
export function nextBranch({ search, ordinals, costTable }: SearchRecord): NewBranch | undefined {
  const { id: origin, spec, space, result } = search;
  const [, ...others] = spec?.cost ? targetsOf(spec.cost) : [];
  const number = (ordinals["search.branched"] ?? 0) + 1;
  const next = others[number - 1];
  // Networks that are drawn within a cost window leave no supernet.
  if (!spec?.cost || !next || isSampling(spec)) return undefined;
  const { text, target } = next;
  // A label of the client stays.
  const labels = Object.keys(spec.labels).length < MAX_LABELS ? { target: text, ...spec.labels } : spec.labels;
  const branch = resolve({ ...spec, labels, cost: { ...spec.cost, ...target, targets: [] } }).spec;
  const id = `${origin}-${number + 1}`;
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
