import { LatheError } from "../../../../../shared/process/errors";
import type { Architecture, SearchSpace } from "../../../../../shared/proto/lathe/v1/space";
import { isConverged } from "../../../../../shared/space/groups";
import { validateArchitecture } from "../../../../../shared/space/validate";
import type { EpochDecision } from "../../port";

/**
 * Throws unless a decision can follow on the supernet of `architecture`: it shrinks that supernet or leaves it as it is, and says rightly
 * whether every group is decided. A training that went on with another decision would end with a result that no data supports.
 */
export function requireDecision(space: SearchSpace, architecture: Architecture, decision: EpochDecision): void {
  const { architecture: next = architecture, converged } = decision;
  if (decision.architecture) validateArchitecture(space, decision.architecture);
  const held = new Map(architecture.groups.map(({ id, survivors }) => [id, new Set(survivors)]));
  const grown = next.groups.find(({ id, survivors }) => survivors.some((survivor) => !held.get(id)?.has(survivor)));
  if (grown) throw invalid(`brings back candidates of group ${grown.id}`);
  if (converged !== isConverged(next))
    throw invalid(converged ? "calls groups decided that are not" : "calls groups undecided that are decided");
}

function invalid(what: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `the decision on an epoch ${what}`, { reason: "DECISION_INVALID" });
}
