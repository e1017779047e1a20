import { renameSync, writeFileSync } from "node:fs";
import type { z } from "zod";
import { read, type BaseConfig, type baseSchema } from "./config";
import { createLogger, type Logger } from "./logger";
import type { Facts } from "./http";
import { createMetrics, type Metrics } from "./metrics";
import { createReadiness, type Readiness } from "./readiness";
import { createShutdown, onProcessEnd, type Shutdown } from "./shutdown";
import { version } from "./root";
import { startTracing } from "./tracing/provider";

export interface Booted<S extends z.ZodObject> {
  config: z.output<S>;
  logger: Logger;
  metrics: Metrics;
  readiness: Readiness;
  shutdown: Shutdown;
  /** The facts of /about, evaluated at each request. A service adds facts that an operator may want to compare. */
  facts: Facts;
  /** Tells the world where this process listens: a log line "ready" and, if LATHE_READY_FILE is set, that file. */
  ready: (ports: Ports) => void;
}

interface Ports {
  grpcPort: number;
  httpPort: number;
}

/** Content of the file LATHE_READY_FILE. */
export interface ReadyFile extends Ports {
  pid: number;
}

/** Writes a file whole or not at all, since its reader polls. */
function writeAtomically(path: string, content: string): void {
  const part = `${path}.${process.pid}.part`;
  writeFileSync(part, content);
  renameSync(part, path);
}

type ServiceSchema = z.ZodObject<typeof baseSchema.shape & z.ZodRawShape>;

/**
 * Runs a service process: reads its settings (exit 2 if they are wrong), connects the stop to signals and errors, then calls
 * `main`. A `main` that rejects stops what it had opened and exits 1.
 */
export async function boot<S extends ServiceSchema>(
  service: string,
  schema: S,
  main: (booted: Booted<S>) => Promise<void>,
): Promise<void> {
  const startedAt = Date.now();
  let config: z.output<S>;
  try {
    config = read(schema, process.env);
  } catch (error) {
    createLogger({ service }).error((error as Error).message, { error });
    process.exitCode = 2;
    return;
  }
  const base = config as BaseConfig;
  const logger = createLogger({ service, level: base.LATHE_LOG_LEVEL });
  const shutdown = createShutdown({ logger, graceMs: base.LATHE_SHUTDOWN_GRACE });
  const readiness = createReadiness();
  onProcessEnd(shutdown, logger, base.LATHE_EXIT_WITH_PARENT);
  shutdown.signal.addEventListener("abort", () => readiness.stop("stopping"), { once: true });
  const facts: Facts = {
    service: () => service,
    version,
    node: () => process.version,
    startedAt: () => new Date(startedAt).toISOString(),
    time: () => new Date().toISOString(),
  };
  const ready = (ports: Ports) => {
    const content: ReadyFile = { ...ports, pid: process.pid };
    if (base.LATHE_READY_FILE !== undefined) writeAtomically(base.LATHE_READY_FILE, `${JSON.stringify(content)}\n`);
    logger.info("ready", { ...content, version: version() });
  };
  try {
    const stopTracing = startTracing({
      service,
      version: version(),
      endpoint: base.LATHE_OTLP_ENDPOINT,
      ratio: base.LATHE_TRACE_RATIO,
      logger,
    });
    // Registered first, so that it runs last and still exports the spans of the other steps.
    shutdown.step("tracing", stopTracing);
    await main({ config, logger, metrics: createMetrics(), readiness, shutdown, facts, ready });
  } catch (error) {
    logger.error(`cannot start: ${(error as Error).message}`, { error });
    await shutdown.stop("start failed", 1);
  }
}
