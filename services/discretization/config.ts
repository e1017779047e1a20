import { duration } from "../../shared/process/config";
import { engineSchema } from "../../shared/service/engine";

/** Settings of the discretization service. */
export const schema = engineSchema({
  /** A worker that is silent for longer counts as dead, and its work goes to another. */
  LATHE_LEASE: duration(1_000, 3_600_000).default(60_000),
});
