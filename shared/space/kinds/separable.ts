import { OperationKind } from "../../proto/lathe/v1/space";
import type { Kind } from "./kind";

/** Depthwise 3x3 and pointwise, twice. */
export const separable: Kind = {
  kind: OperationKind.OPERATION_KIND_SEPARABLE,
  prefix: "separable-",
  dilated: true,
  expansion: 1,
  first: { depthwise: [3, 3], dense: [1, 1] },
  second: { depthwise: [3, 3], dense: [1, 1] },
};
