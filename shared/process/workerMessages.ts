import { LatheError, type ErrorCode, type FieldViolation } from "./errors";

/** A LatheError as it crosses the process border. */
interface PackedError {
  code: ErrorCode;
  message: string;
  reason: string;
  violations: FieldViolation[];
  metadata: Record<string, string>;
  stack: string;
}

export type ToChild =
  | { kind: "job"; job: unknown }
  | { kind: "reply"; id: number; value: unknown }
  | { kind: "refusal"; id: number; error: PackedError }
  | { kind: "abort"; error: PackedError };

export type ToParent =
  | { kind: "ready" }
  | { kind: "message"; value: unknown }
  | { kind: "request"; id: number; value: unknown }
  | { kind: "result"; value: unknown }
  | { kind: "error"; error: PackedError };

/** Flattens any thrown value; what is not a LatheError becomes INTERNAL. */
export function packError(thrown: unknown): PackedError {
  const error = LatheError.from(thrown);
  const origin = error.cause instanceof Error ? error.cause : error;
  return {
    code: error.code,
    message: error.message,
    reason: error.reason,
    violations: [...error.violations],
    metadata: { ...error.metadata },
    stack: origin.stack ?? origin.message,
  };
}

/** The same LatheError on the other side; the stack of its origin is the cause. */
export function unpackError({ code, message, reason, violations, metadata, stack }: PackedError): LatheError {
  const cause = new Error(message);
  cause.stack = stack;
  return new LatheError(code, message, { reason, violations, metadata, cause });
}

/** The error that an abort means: its own if it is a LatheError, else CANCELLED with it as the cause. */
export function asCancelled(why: unknown, name: string): LatheError {
  if (why instanceof LatheError) return why;
  return new LatheError(
    "CANCELLED",
    `worker ${name} was stopped: ${why instanceof Error ? why.message : String(why)}`,
    { reason: "WORKER_ABORTED", cause: why },
  );
}
