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
import { ids } from "./ids";
import type { TracingOptions } from "./options";

const TOLD_EVERY_MS = 60_000;
const LAST_WORDS_MS = 2_000;

/** Sends spans in batches; the exporter's own variables (OTEL_EXPORTER_OTLP_HEADERS, ..._CERTIFICATE) count. */
export function startExport(options: TracingOptions & { endpoint: string }): {
  sampler: Sampler;
  stop: () => Promise<void>;
} {
  const { service, version, endpoint, ratio } = options;
  const lost = tellLosses(options);
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
  // A receiver that is away is tried for longer than a stop may take.
  const stop = () => Promise.race([provider.shutdown().catch(lost), pause(LAST_WORDS_MS, undefined, { ref: false })]);
  return { sampler, stop };
}

/** A receiver that is away costs neither a search nor a log: one line a minute. */
function tellLosses({ endpoint, logger }: Pick<TracingOptions, "endpoint" | "logger">): (error: unknown) => void {
  let toldAt = -Infinity;
  const lost = (error: unknown) => {
    if (Date.now() - toldAt < TOLD_EVERY_MS) return;
    toldAt = Date.now();
    const reason = error instanceof Error ? error.message : String(error);
    // The timer of the batch runs in the context of whichever span has set it.
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
