import { memoryBound } from "../../shared/engine/account";
import { createQuota } from "../../shared/events/quota";
import { dataAccessOf, startEngine } from "../../shared/service/engine";
import { serve } from "../../shared/service/serve";
import { standStillForMeasurements } from "../../shared/service/standstill";
import { schema } from "./config";
import { consume, Trainer } from "./trainer";
import { trainingMetrics } from "./metrics";
import { supernetService } from "./rpc";

void serve("supernet", schema, async ({ bus, config, logger, metrics, facts, shutdown }) => {
  const engine = await startEngine(config, facts, config.LATHE_TRAINING_MEMORY * 2 ** 20);
  if (memoryBound(engine.provider, engine.memoryBytes) === Infinity)
    logger.warn(
      "nvidia-smi does not say what the GPU has free: trainings have no bound of memory without LATHE_TRAINING_MEMORY",
    );
  standStillForMeasurements({ bus, metrics, shutdown });
  const observed = trainingMetrics(metrics, () => trainer.worker.rssBytes());
  const dataAccess = dataAccessOf(config);
  const trainer: Trainer = new Trainer({ bus, engine, dataAccess, logger, metrics: observed });
  const { LATHE_JOBS: jobs, LATHE_LEASE: leaseMs } = config;
  // The item of a worker that died is delivered again within its lease. After that there is nothing to wait for.
  const quota = jobs > 0 ? createQuota(jobs, leaseMs + 5_000) : undefined;
  void quota?.done.then(() => shutdown.stop("its work items are done", 0));
  return { services: [supernetService(bus, trainer)], consumers: [() => consume(bus, trainer, leaseMs, quota)] };
});
