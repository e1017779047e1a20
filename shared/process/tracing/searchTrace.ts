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
import { aboutSearch } from "./about";
import { sentFrom, type ReadEntry } from "./carrier";
import { ids } from "./ids";
import { samples } from "./provider";
import { runIn, tracer } from "./span";

/**
 * One search is one trace, whichever process or resumption works at it: trace id and root span id follow from the search id, so that nobody
 * has to remember them.
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
  /** When it began, Unix ms; now unless given. */
  startTime?: number;
  /** Of the message that is being handled. */
  sent?: ReadEntry;
}

/**
 * Runs within a new span of the search's trace: below the span that the message was sent from, or the active one, or the root, the first that
 * belongs to this trace. An active span of another trace (a client's call) becomes a link.
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

/** Exports the root span of a search that has ended. Exported again after a crash, it has the same ids. */
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
