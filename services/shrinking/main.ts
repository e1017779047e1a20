import { baseSchema } from "../../shared/process/config";
import { serve } from "../../shared/service/serve";
import { consume } from "./consumer";
import { shrinkingMetrics } from "./metrics";
import { shrinkingService } from "./rpc";

void serve("shrinking", baseSchema, ({ bus, metrics }) => {
  const observed = shrinkingMetrics(metrics);
  return { services: [shrinkingService()], consumers: [() => consume(bus, observed)] };
});
