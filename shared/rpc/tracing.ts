import { SpanKind, context, trace } from "@opentelemetry/api";
import type { Metadata } from "@grpc/grpc-js";
import { LatheError, type ErrorCode } from "../process/errors";
import { aboutSearch, failed, runIn, sentFrom, tracer } from "../process/tracing/span";

/** A call on the server. */
interface TracedCall {
  /** "/lathe.v1.SearchService/GetSearch". */
  path: string;
  metadata: Metadata;
  request: unknown;
}

/** Services that probes and tools call every few seconds. */
const untraced = /^\/grpc\./;

/** Runs the answer to a call in a span below the client's span. Log lines name the search that the request names. */
export function inServerSpan<T>({ path, metadata, request }: TracedCall, run: () => Promise<T>): Promise<T> {
  if (untraced.test(path)) return run();
  const sent = sentFrom((name) => metadata.get(name).map(String)[0]);
  const searchId = (request as { searchId?: unknown } | undefined)?.searchId;
  const named = typeof searchId === "string" && searchId !== "" ? searchId : undefined;
  const [service = "", method = ""] = path.split("/").slice(1);
  let within = context.active();
  if (sent) within = trace.setSpanContext(within, sent);
  if (named !== undefined) within = aboutSearch(within, named);
  const attributes = {
    "rpc.system": "grpc",
    "rpc.service": service,
    "rpc.method": method,
    ...(named !== undefined && { "lathe.search_id": named }),
  };
  const span = tracer().startSpan(`${service}/${method}`, { kind: SpanKind.SERVER, attributes }, within);
  return runIn(span, within, run);
}

/** Codes of faults of the server. The span of a bad request carries the code only. */
const OWN_FAULTS: ReadonlySet<ErrorCode> = new Set(["INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"]);

/** Records the failure of a call on its span. */
export function recordFailure(thrown: unknown): void {
  const span = trace.getActiveSpan();
  if (!span?.isRecording()) return;
  const { code } = LatheError.from(thrown);
  if (OWN_FAULTS.has(code)) failed(span, thrown);
  else span.setAttribute("error.type", code);
}
