import { initialArchitecture } from "../../../../../shared/space/groups";
import { resolve } from "../../../../../shared/spec/resolve";
import { briefSpec, decideAll, halve } from "../../../../../shared/testing/training";
import { requireDecision } from "./decision";

const { space } = resolve(briefSpec());
const open = initialArchitecture(space);
const half = halve(space, open, 1);
const decided = decideAll(space, open);
const byBudget = false;

describe("a decision", () => {
  it("leaves the supernet, shrinks it or decides it", () => {
    requireDecision(space, open, { converged: false, byBudget });
    requireDecision(space, open, { architecture: half, converged: false, byBudget });
    requireDecision(space, half, { architecture: decideAll(space, half), converged: true, byBudget });
    requireDecision(space, decided, { converged: true, byBudget });
  });

  it.each([
    ["has no groups", { ...half, groups: [] }, false, /is missing/],
    [
      "keeps no candidate",
      { groups: half.groups.map((group) => ({ ...group, survivors: [], alphas: [] })) },
      false,
      /survivors \[\]/,
    ],
    ["brings candidates back", open, false, /^the decision on an epoch brings back candidates of group \S+$/],
    ["calls all decided", half, true, "the decision on an epoch calls groups decided that are not"],
    ["calls decided groups open", decideAll(space, half), false, "calls groups undecided that are decided"],
  ])("is refused where it %s", (_name, architecture, converged, message) => {
    expect(() => requireDecision(space, half, { architecture, converged, byBudget })).toThrow(message);
  });
});
