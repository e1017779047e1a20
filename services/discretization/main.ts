import { startEngine } from "../../shared/service/engine";
import { serve } from "../../shared/service/serve";
import { schema } from "./config";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";
import { discretizationService } from "./rpc";

void serve("discretization", schema, async ({ bus, config, metrics, facts }) => {
  const engine = await startEngine(config, facts);
  return {
    services: [discretizationService(bus)],
    consumers: [() => consume({ bus, engine, metrics: derivationMetrics(metrics), leaseMs: config.LATHE_LEASE })],
  };
});
