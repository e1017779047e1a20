import { requireEngine } from "../../shared/engine/require";
import { lookIntoDataFolder } from "../../shared/service/dataFolder";
import { serve } from "../../shared/service/serve";
import { schema } from "./config";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";
import { discretizationService } from "./rpc";

void serve("discretization", schema, async ({ bus, config, logger, metrics, facts }) => {
  const engine = {
    engine: config.LATHE_ENGINE,
    provider: config.LATHE_PROVIDER,
    precision: config.LATHE_PRECISION,
    threads: config.LATHE_THREADS,
  };
  await requireEngine(engine);
  facts.engine = () => engine;
  const folder = config.LATHE_DATA_FOLDER;
  if (folder !== undefined) facts.dataFolder = () => lookIntoDataFolder(folder);
  return {
    services: [discretizationService(bus)],
    consumers: [
      () => consume({ bus, engine, logger, metrics: derivationMetrics(metrics), leaseMs: config.LATHE_LEASE }),
    ],
  };
});
