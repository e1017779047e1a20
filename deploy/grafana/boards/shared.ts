import { curves } from "./board";

/** Panels that two boards have. */
export const alarms = (description: string) =>
  curves(
    "Health alarms",
    description,
    "none",
    [["sum by (kind) (increase(nas_search_alarms_total[$__range])) > 0", "{{kind}}"]],
    { min: 0, decimals: 0 },
  );

export const gap = curves(
  "Discretization gap",
  "mIoU of the newest supernet minus that of the network cut from it, with the weights it inherits; near 0 where the search has converged.",
  "percentunit",
  [["max(nas_discretization_gap_ratio)", "gap"]],
  { decimals: 2, step: true },
);
