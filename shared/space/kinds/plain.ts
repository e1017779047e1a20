import { OperationKind } from "../../proto/lathe/v1/space";
import type { Kind } from "./kind";

/** The residual pair of ResNet and DDRNet: 3x3 twice. */
export const plain: Kind = {
  kind: OperationKind.OPERATION_KIND_PLAIN,
  prefix: "plain-",
  dilated: false,
  expansion: 1,
  first: { dense: [3, 3] },
  second: { dense: [3, 3] },
};
