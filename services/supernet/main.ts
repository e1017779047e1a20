import { requireEngine } from "../../shared/engine/require";
import { lookIntoDataFolder } from "../../shared/service/dataFolder";
import { serve } from "../../shared/service/serve";
import { schema } from "./config";
import { consume } from "./consumer";
import { trainingMetrics } from "./metrics";
import { supernetService } from "./rpc";
import { Trainer } from "./trainer";

void serve("supernet", schema, async ({ bus, config, logger, metrics, facts }) => {
  const engine = {
    engine: config.LATHE_ENGINE,
    provider: config.LATHE_PROVIDER,
    precision: config.LATHE_PRECISION,
    threads: config.LATHE_THREADS,
    memoryBytes: config.LATHE_TRAINING_MEMORY * 2 ** 20,
  };
  await requireEngine(engine);
  facts.engine = () => engine;
  const folder = config.LATHE_DATA_FOLDER;
  if (folder !== undefined) facts.dataFolder = () => lookIntoDataFolder(folder);
  const trainer: Trainer = new Trainer({
    bus,
    engine,
    logger,
    metrics: trainingMetrics(metrics, () => trainer.worker.rssBytes()),
  });
  return {
    services: [supernetService(bus, trainer, engine)],
    consumers: (["train", "retrain"] as const).map((kind) => () => consume(bus, trainer, kind, config.LATHE_LEASE)),
  };
});
