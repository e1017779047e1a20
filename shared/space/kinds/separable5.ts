import { OperationKind } from "../../proto/lathe/v1/space";
import type { Kind } from "./kind";

/** Depthwise 5x5 and pointwise, twice. */
export const separable5: Kind = {
  kind: OperationKind.OPERATION_KIND_SEPARABLE5,
  prefix: "separable5-",
  dilated: false,
  expansion: 1,
  first: { depthwise: [5, 5], dense: [1, 1] },
  second: { depthwise: [5, 5], dense: [1, 1] },
};
