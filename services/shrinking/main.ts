import { serve } from "../../shared/service/serve";
import { config } from "./config";
import { consume } from "./consumer";
import { shrinkingMetrics } from "./metrics";
import { shrinkingService } from "./rpc";

void serve("shrinking", config, ({ bus, metrics }) => {
  const observed = shrinkingMetrics(metrics);
  return { services: [shrinkingService()], consumers: [() => consume(bus, observed)] };
});
