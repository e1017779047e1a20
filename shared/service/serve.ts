import type { z } from "zod";
import type { Bus } from "../events/bus";
import type { Consumption } from "../events/pulls";
import { openBus } from "../events/service";
import { boot, type Booted } from "../process/boot";
import type { BaseConfig, baseSchema } from "../process/config";
import { startHttp } from "../process/http";
import type { Service } from "../rpc/handlers";
import { startServer } from "../rpc/server";
import { serverSettings } from "../rpc/settings";

/** Parts of a service, once its bus is open. */
interface Parts {
  services: Service[];
  /** Started after gRPC; stopped before it. A stopped consumer gives its current item back. */
  consumers: (() => Promise<Consumption>)[];
}

type Context<S extends z.ZodObject> = Booted<S> & { bus: Bus };

type ServiceSchema = z.ZodObject<typeof baseSchema.shape & z.ZodRawShape>;

/** Runs a service process. It starts HTTP, bus, the parts of `compose`, gRPC and consumers in this order, and stops them in reverse. */
export function serve<S extends ServiceSchema>(
  name: string,
  schema: S,
  compose: (context: Context<S>) => Parts | Promise<Parts>,
): Promise<void> {
  return boot(name, schema, async (booted) => {
    const { logger, metrics, readiness, shutdown, facts, ready } = booted;
    const config = booted.config as BaseConfig;
    const { LATHE_HTTP_HOST: host, LATHE_HTTP_PORT: port, LATHE_SHUTDOWN_GRACE: graceMs } = config;
    const started = readiness.check("started");
    const http = await startHttp({ host, port, metrics, readiness, logger, facts });
    shutdown.step("http", () => http.stop());
    const bus = await openBus(name, { config, logger, metrics, readiness, shutdown });
    const { services, consumers } = await compose({ ...booted, bus });
    const rpc = await startServer({ ...serverSettings(config), services, readiness, metrics, logger });
    shutdown.step("rpc", () => rpc.stop(graceMs / 2));
    for (const start of consumers) {
      const consumption = await start();
      shutdown.step("consumer", () => consumption.stop());
    }
    started.ok();
    ready({ grpcPort: rpc.port, httpPort: http.port });
  });
}
