import { dataAccessOf, startEngine } from "../../shared/service/engine";
import { serve } from "../../shared/service/serve";
import { standStillForMeasurements } from "../../shared/service/standstill";
import { schema } from "./config";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";
import { discretizationService } from "./rpc";

void serve("discretization", schema, async ({ bus, config, metrics, facts, shutdown }) => {
  const engine = await startEngine(config, facts);
  // After the engine, whose probe would wait for a measurement.
  standStillForMeasurements({ bus, metrics, shutdown });
  const { LATHE_LEASE: leaseMs } = config;
  const dataAccess = dataAccessOf(config);
  return {
    services: [discretizationService({ bus, engine, dataAccess })],
    consumers: [() => consume({ bus, engine, dataAccess, metrics: derivationMetrics(metrics), leaseMs })],
  };
});
