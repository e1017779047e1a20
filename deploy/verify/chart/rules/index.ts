import { containerRules } from "./containers";
import { networkRules } from "./network";
import type { Rule } from "./rule";
import { scalingRules } from "./scaling";
import { securityRules } from "./security";
import { selectionRules } from "./selection";

/** What every rendering must keep, beyond what an API server would refuse. */
export const RULES: readonly Rule[] = [
  ...selectionRules,
  ...containerRules,
  ...securityRules,
  ...networkRules,
  ...scalingRules,
];
