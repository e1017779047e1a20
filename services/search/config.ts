import { z } from "zod";
import { baseConfig } from "../../shared/process/config";

/** Settings that the search service reads from its environment. */
export const config = z.object({ ...baseConfig });
