import { z } from "zod";
import { baseConfig } from "../../shared/process/config";

/** Settings that the shrinking service reads from its environment. */
export const config = z.object({ ...baseConfig });
