import { ROOT_CONTEXT, context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import type { Sampler } from "@opentelemetry/sdk-trace";
import type { TracingOptions } from "./options";

let sampler: Sampler | undefined;

/** Whether a trace that begins here is exported; each process of one ratio says the same of one id. */
export function samples(traceId: string): boolean {
  // Of the ratio alone, whatever the span is.
  return (sampler?.shouldSample(ROOT_CONTEXT, traceId, "", 0, {}, []).decision ?? 0) !== 0;
}

/**
 * Makes contexts follow asynchronous calls, which log lines need too, and where there is an endpoint exports spans to it. Returns what sends
 * the rest and ends it.
 */
export function startTracing({ endpoint, ...options }: TracingOptions): () => Promise<void> {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  if (endpoint === undefined) return () => Promise.resolve();
  // 130 ms and 16 MB, for those who want it.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
  const { startExport } = require("./exporter") as typeof import("./exporter");
  const started = startExport({ endpoint, ...options });
  sampler = started.sampler;
  return started.stop;
}
