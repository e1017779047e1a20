import { OperationKind } from "../../proto/lathe/v1/space";
import type { Kind } from "./kind";

/** The paper's operation, ERFNet's factorized pair: 3x1, then 1x3. */
export const factorized: Kind = {
  kind: OperationKind.OPERATION_KIND_FACTORIZED,
  prefix: "",
  dilated: true,
  expansion: 1,
  first: { dense: [3, 1] },
  second: { dense: [1, 3] },
};
