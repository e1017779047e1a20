import { SpanStatusCode, context, trace, type Context, type Span, type Tracer } from "@opentelemetry/api";
import { LatheError } from "../errors";

/** Of the provider that is registered when it is asked for; its spans are nothing while tracing is off. */
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

/** A cancelled span is no failure: somebody wanted it so. */
export function failed(span: Span, thrown: unknown): void {
  const { code, reason, message } = LatheError.from(thrown);
  span.setAttributes({ "error.type": code, "lathe.reason": reason });
  if (code !== "CANCELLED") span.setStatus({ code: SpanStatusCode.ERROR, message });
}
