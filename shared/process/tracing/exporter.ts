import { setTimeout as pause } from "node:timers/promises";
import { DiagLogLevel, ROOT_CONTEXT, context, diag, trace } from "@opentelemetry/api";
import { setGlobalErrorHandler } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "../logger";
import { ids } from "./ids";

export interface TracingOptions {
  service: string;
  version: string;
  /** Base URL of an OTLP/HTTP receiver, e.g. http://127.0.0.1:4318; undefined: tracing is off. */
  endpoint: string | undefined;
  /** Exported share, 0 to 1, of searches and of calls that arrive without a trace. */
  ratio: number;
  logger: Logger;
}

const LOSS_LOGGED_EVERY_MS = 60_000;
const LAST_EXPORT_MS = 2_000;

/** Starts the export of spans in batches. The exporter's own environment variables (OTEL_EXPORTER_OTLP_HEADERS, ..._CERTIFICATE) apply. */
export function startExport(options: TracingOptions & { endpoint: string }): {
  sampler: Sampler;
  stop: () => Promise<void>;
} {
  const { service, version, endpoint, ratio } = options;
  const lost = logLosses(options);
  const sampler = new TraceIdRatioBasedSampler(ratio);
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, "")}/v1/traces` });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.namespace": "lathe",
      "service.name": service,
      "service.version": version,
    }),
    sampler: new ParentBasedSampler({ root: sampler }),
    idGenerator: ids,
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  trace.setGlobalTracerProvider(provider);
  // The exporter retries an unreachable receiver for longer than a stop may take.
  const stop = () => Promise.race([provider.shutdown().catch(lost), pause(LAST_EXPORT_MS, undefined, { ref: false })]);
  return { sampler, stop };
}

/** Logs lost spans, at most one line a minute. An unreachable receiver fails no search. */
function logLosses({ endpoint, logger }: Pick<TracingOptions, "endpoint" | "logger">): (error: unknown) => void {
  let loggedAt = -Infinity;
  const lost = (error: unknown) => {
    if (performance.now() - loggedAt < LOSS_LOGGED_EVERY_MS) return;
    loggedAt = performance.now();
    const reason = error instanceof Error ? error.message : String(error);
    // The timer of the batch runs in the context of the span that has set it.
    context.with(ROOT_CONTEXT, () =>
      logger.warn("spans are lost: the receiver of traces does not take them", { endpoint, reason }),
    );
  };
  setGlobalErrorHandler(lost);
  const nothing = () => {};
  diag.setLogger(
    { error: lost, warn: nothing, info: nothing, debug: nothing, verbose: nothing },
    { logLevel: DiagLogLevel.ERROR, suppressOverrideMessage: true },
  );
  return lost;
}
