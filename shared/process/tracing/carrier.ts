import { ROOT_CONTEXT, context, defaultTextMapSetter, trace, type SpanContext } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";

/** Reads one entry of what carries a context: headers of a NATS message, metadata of a gRPC call. */
export type ReadEntry = (name: string) => string | undefined;

const propagator = new W3CTraceContextPropagator();

/** The span that the sender was in (W3C Trace Context); undefined where the message tells none. */
export function sentFrom(read: ReadEntry): SpanContext | undefined {
  const getter = { keys: () => propagator.fields(), get: (_: unknown, name: string) => read(name) };
  return trace.getSpanContext(propagator.extract(ROOT_CONTEXT, undefined, getter));
}

/** traceparent, and tracestate where there is one, of the active span; nothing outside of a span that is exported. */
export function sentWith(): Record<string, string> {
  const active = context.active();
  const carrier: Record<string, string> = {};
  if (trace.getSpan(active)?.isRecording()) propagator.inject(active, carrier, defaultTextMapSetter);
  return carrier;
}
