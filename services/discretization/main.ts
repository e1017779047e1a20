import { serve } from "../../shared/service/serve";
import { schema } from "./config";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";
import { discretizationService } from "./rpc";

void serve("discretization", schema, ({ bus, config, logger, metrics }) => {
  const engine = {
    engine: config.LATHE_ENGINE,
    provider: config.LATHE_PROVIDER,
    precision: config.LATHE_PRECISION,
    threads: config.LATHE_THREADS,
  };
  return {
    services: [discretizationService(bus)],
    consumers: [
      () => consume({ bus, engine, logger, metrics: derivationMetrics(metrics), leaseMs: config.LATHE_LEASE }),
    ],
  };
});
