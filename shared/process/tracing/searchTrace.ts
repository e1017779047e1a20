import { createHash } from "node:crypto";
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  context,
  trace,
  type Attributes,
  type Span,
  type SpanContext,
} from "@opentelemetry/api";
import { ids } from "./ids";
import { samples } from "./provider";
import { aboutSearch, runIn, sentFrom, tracer, type ReadEntry } from "./span";

/**
 * Root span of a search's trace. One search is one trace, over all processes and resumptions: trace id and root span id follow from the
 * search id, so that they need not be stored.
 */
export function rootOf(searchId: string): SpanContext {
  const digest = createHash("sha256").update(searchId).digest("hex");
  const traceId = digest.slice(0, 32);
  const traceFlags = samples(traceId) ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return { traceId, spanId: digest.slice(32, 48), traceFlags, isRemote: true };
}

interface SearchSpan {
  name: string;
  kind?: SpanKind;
  attributes?: Attributes;
  /** Start of the span, Unix ms; now by default. */
  startTime?: number;
  /** Reads the trace context of the message that is being handled. */
  sent?: ReadEntry;
}

/**
 * Runs in a new span of the search's trace. Its parent is the first of these that belongs to the trace: the span that the message was
 * sent from, the active span, the root. An active span of another trace (a client's call) becomes a link.
 */
export function inSearchSpan<T>(searchId: string, span: SearchSpan, run: (span: Span) => Promise<T>): Promise<T> {
  const { name, kind = SpanKind.INTERNAL, attributes = {}, startTime, sent } = span;
  const root = rootOf(searchId);
  const active = trace.getSpanContext(context.active());
  const candidates = [sent && sentFrom(sent), active];
  const parent = candidates.find((candidate) => candidate?.traceId === root.traceId) ?? root;
  const links = active && active.traceId !== root.traceId ? [{ context: active }] : [];
  const within = aboutSearch(trace.setSpanContext(ROOT_CONTEXT, parent), searchId);
  const settings = {
    kind,
    links,
    attributes: { "lathe.search_id": searchId, ...attributes },
    ...(startTime !== undefined && { startTime }),
  };
  return runIn(tracer().startSpan(name, settings, within), within, run);
}

interface SearchEnd {
  start: Date;
  end: Date;
  attributes: Attributes;
  failure?: { reason: string; message: string };
}

/** Exports the root span of a search that has ended. An export that is repeated after a crash has the same ids. */
export function endSearchTrace(searchId: string, { start, end, attributes, failure }: SearchEnd): void {
  const { traceId, spanId } = rootOf(searchId);
  ids.use(traceId, spanId);
  const settings = { root: true, startTime: start, attributes: { "lathe.search_id": searchId, ...attributes } };
  const span = tracer().startSpan("search", settings);
  if (failure) {
    span.setAttribute("error.type", failure.reason);
    span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
  }
  span.end(end);
}
