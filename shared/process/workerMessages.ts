import { LatheError } from "./errors";

/** A LatheError as a message between processes, with the stack of its cause. */
type PackedError = Pick<LatheError, "code" | "message" | "reason" | "violations" | "metadata"> & { stack: string };

export type ToChild =
  | { kind: "job"; job: unknown; beatMs: number }
  | { kind: "reply"; id: number; value: unknown }
  | { kind: "refusal"; id: number; error: PackedError }
  | { kind: "abort"; error: PackedError }
  /** Stand still before the next step, until "release". */
  | { kind: "hold" }
  | { kind: "release" };

export type ToParent =
  | { kind: "ready" }
  | { kind: "alive" }
  /** A step waits for "release". */
  | { kind: "standing" }
  | { kind: "message"; value: unknown }
  | { kind: "request"; id: number; value: unknown }
  | { kind: "result"; value: unknown }
  | { kind: "error"; error: PackedError };

/** Flattens any thrown value; values other than LatheErrors become INTERNAL. */
export function packError(thrown: unknown): PackedError {
  const error = LatheError.from(thrown);
  const origin = error.cause instanceof Error ? error.cause : error;
  const { code, message, reason, violations, metadata } = error;
  return { code, message, reason, violations, metadata, stack: origin.stack ?? origin.message };
}

/** The LatheError in the receiving process; its cause has the original stack. */
export function unpackError({ code, message, reason, violations, metadata, stack }: PackedError): LatheError {
  const cause = new Error(message);
  cause.stack = stack;
  return new LatheError(code, message, { reason, violations, metadata, cause });
}

/** The error of an abort: its reason where that is a LatheError, else CANCELLED with the reason as the cause. */
export function asCancelled(why: unknown, name: string): LatheError {
  if (why instanceof LatheError) return why;
  return new LatheError(
    "CANCELLED",
    `worker ${name} was stopped: ${why instanceof Error ? why.message : String(why)}`,
    { reason: "WORKER_ABORTED", cause: why },
  );
}
