import { containerRules } from "./containers";
import { networkRules } from "./network";
import type { Rule } from "./rule";
import { scalingRules } from "./scaling";
import { securityRules } from "./security";
import { selectionRules } from "./selection";

/** The rules of every rendering, beyond the validation of an API server. */
export const RULES: readonly Rule[] = [
  ...selectionRules,
  ...containerRules,
  ...securityRules,
  ...networkRules,
  ...scalingRules,
];
