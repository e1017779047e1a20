import { OperationKind } from "../../proto/lathe/v1/space";
import type { Kind } from "./kind";

/** MobileNetV2's inverted bottleneck: pointwise to twice the channels of the middle width, then depthwise 3x3 and pointwise. */
export const inverted: Kind = {
  kind: OperationKind.OPERATION_KIND_INVERTED,
  prefix: "inverted-",
  dilated: true,
  expansion: 2,
  first: { dense: [1, 1] },
  second: { depthwise: [3, 3], dense: [1, 1] },
};
