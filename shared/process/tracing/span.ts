import {
  ROOT_CONTEXT,
  SpanStatusCode,
  context,
  createContextKey,
  defaultTextMapSetter,
  trace,
  type Context,
  type Span,
  type SpanContext,
  type TextMapPropagator,
  type Tracer,
} from "@opentelemetry/api";
import { LatheError } from "../errors";

/** The tracer of the provider that is registered at the time of the call; without one its spans record nothing. */
export const tracer = (): Tracer => trace.getTracer("lathe");

/** Runs with a span active and ends it. An error is recorded on the span by code and message, and thrown again. */
export async function runIn<T>(span: Span, parent: Context, run: (span: Span) => Promise<T>): Promise<T> {
  try {
    return await context.with(trace.setSpan(parent, span), () => run(span));
  } catch (error) {
    failed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Records an error on a span. A cancellation is asked for, so it leaves the span's status unset. */
export function failed(span: Span, thrown: unknown): void {
  const { code, reason, message } = LatheError.from(thrown);
  span.setAttributes({ "error.type": code, "lathe.reason": reason });
  if (code !== "CANCELLED") span.setStatus({ code: SpanStatusCode.ERROR, message });
}

const SEARCH = createContextKey("lathe search id");

/** The search that the running code is about. */
export const searchOf = (active: Context): string | undefined => active.getValue(SEARCH) as string | undefined;

/** A context in which log lines name the search. */
export const aboutSearch = (active: Context, searchId: string): Context => active.setValue(SEARCH, searchId);

/** Reads one entry of the carrier of a context: the headers of a NATS message, or the metadata of a gRPC call. */
export type ReadEntry = (name: string) => string | undefined;

let known: TextMapPropagator | undefined;

/** Loaded at the first message that carries a context: a client without an exporter never sends one. */
function propagator(): TextMapPropagator {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a synchronous call that loads the module late
  const { W3CTraceContextPropagator } = require("@opentelemetry/core") as typeof import("@opentelemetry/core");
  return (known ??= new W3CTraceContextPropagator());
}

/** The span that was active in the sender (W3C Trace Context); undefined where the message names none. */
export function sentFrom(read: ReadEntry): SpanContext | undefined {
  const getter = { keys: () => propagator().fields(), get: (_: unknown, name: string) => read(name) };
  return trace.getSpanContext(propagator().extract(ROOT_CONTEXT, undefined, getter));
}

/** traceparent and, where there is one, tracestate of the active span; empty outside of a span that is exported. */
export function sentWith(): Record<string, string> {
  const active = context.active();
  const carrier: Record<string, string> = {};
  if (trace.getSpan(active)?.isRecording()) propagator().inject(active, carrier, defaultTextMapSetter);
  return carrier;
}
