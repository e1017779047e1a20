import { ROOT_CONTEXT, context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import type { Sampler } from "@opentelemetry/sdk-trace";
import type { TracingOptions } from "./exporter";

let sampler: Sampler | undefined;

/** Whether a trace that begins here is exported. All processes with the same ratio decide the same for one id. */
export function samples(traceId: string): boolean {
  // Only trace id and ratio decide.
  return (sampler?.shouldSample(ROOT_CONTEXT, traceId, "", 0, {}, []).decision ?? 0) !== 0;
}

/**
 * Makes contexts follow asynchronous calls, which log lines need as well, and exports spans where an endpoint is given. The returned
 * function sends the remaining spans and ends the export.
 */
export function startTracing({ endpoint, ...options }: TracingOptions): () => Promise<void> {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  if (endpoint === undefined) return () => Promise.resolve();
  // Loaded only where it is used: it takes 130 ms and 16 MB.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- TypeScript wants an ending on import() that Jest does not resolve
  const { startExport } = require("./exporter") as typeof import("./exporter");
  const started = startExport({ endpoint, ...options });
  sampler = started.sampler;
  return started.stop;
}
