import { z } from "zod";
import { baseSchema, integer } from "../../shared/process/config";

/** Settings of the search service. */
export const schema = z.object({
  ...baseSchema.shape,
  /** Searches that may be pending, running or paused; StartSearch refuses further ones. */
  LATHE_MAX_SEARCHES: integer(1, 100_000).default(200),
});
