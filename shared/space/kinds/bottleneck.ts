import { OperationKind } from "../../proto/lathe/v1/space";
import type { Kind } from "./kind";

/** Pointwise to the middle channels, then depthwise 3x3 and pointwise. */
export const bottleneck: Kind = {
  kind: OperationKind.OPERATION_KIND_BOTTLENECK,
  prefix: "bottleneck-",
  dilated: true,
  expansion: 1,
  first: { dense: [1, 1] },
  second: { depthwise: [3, 3], dense: [1, 1] },
};
