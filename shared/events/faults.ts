import { NatsError } from "nats";
import { LatheError, type ErrorCode } from "../process/errors";

/** Error codes of the JetStream API that have a code or reason of their own. */
const API_CODES: Record<number, { code: ErrorCode; reason: string }> = {
  10014: { code: "NOT_FOUND", reason: "CONSUMER_NOT_FOUND" },
  10037: { code: "NOT_FOUND", reason: "MESSAGE_NOT_FOUND" },
  10059: { code: "FAILED_PRECONDITION", reason: "STREAM_NOT_FOUND" },
  10071: { code: "ABORTED", reason: "STALE_REVISION" },
  10008: { code: "UNAVAILABLE", reason: "NATS_UNAVAILABLE" },
  10039: { code: "UNAVAILABLE", reason: "NATS_UNAVAILABLE" },
  10076: { code: "UNAVAILABLE", reason: "NATS_UNAVAILABLE" },
  10065: { code: "FAILED_PRECONDITION", reason: "SUBJECTS_OVERLAP" },
  10023: { code: "RESOURCE_EXHAUSTED", reason: "STORAGE_FULL" },
  10028: { code: "RESOURCE_EXHAUSTED", reason: "STORAGE_FULL" },
  10047: { code: "RESOURCE_EXHAUSTED", reason: "STORAGE_FULL" },
  10054: { code: "RESOURCE_EXHAUSTED", reason: "PAYLOAD_TOO_LARGE" },
};

const UNREACHABLE = new Set([
  "TIMEOUT",
  "503",
  "DISCONNECT",
  "CONNECTION_CLOSED",
  "CONNECTION_DRAINING",
  "CONNECTION_REFUSED",
  "CONNECTION_TIMEOUT",
  "CANCELLED",
]);

export interface ApiFault {
  code: number;
  err_code?: number;
  description?: string;
}

/** The LatheError for an error answer of the JetStream API to the request `what`. */
export function apiFault(fault: ApiFault, what: string): LatheError {
  const text = fault.description ?? `code ${fault.code}`;
  const known = API_CODES[fault.err_code ?? 0];
  if (known) return new LatheError(known.code, `${what}: ${explain(known.reason, text)}`, { reason: known.reason });
  // A stream at its limits answers 10077 and names the limit. A full disk answers 10077 or no err_code, with the system's message.
  if (/maximum (messages|bytes)|no space|insufficient|resources/i.test(text)) {
    return new LatheError("RESOURCE_EXHAUSTED", `${what}: ${explain("STORAGE_FULL", text)}`, {
      reason: "STORAGE_FULL",
      metadata: /maximum (messages|bytes)/i.test(text) ? { limit: "stream" } : {},
    });
  }
  if (fault.code === 404) return new LatheError("NOT_FOUND", `${what}: ${text}`, { reason: "NOT_FOUND" });
  if (fault.code === 503) return new LatheError("UNAVAILABLE", `${what}: ${text}`, { reason: "NATS_UNAVAILABLE" });
  return new LatheError("INTERNAL", `${what}: ${text} (${fault.err_code ?? fault.code})`, { reason: "NATS_REFUSED" });
}

function explain(reason: string, text: string): string {
  if (reason === "STORAGE_FULL")
    return `NATS storage is full (${text}): free disk space, delete old searches or raise the limit`;
  if (reason === "STREAM_NOT_FOUND") return `${text}: NATS has lost it, or a search service has not made it yet`;
  return text;
}

/** The LatheError for anything that the client throws at the request `what`. */
export function natsFault(thrown: unknown, what: string): LatheError {
  if (thrown instanceof LatheError) return thrown;
  if (!(thrown instanceof Error)) return LatheError.from(thrown);
  // Not by instanceof: a test's sandbox may hold another copy of the class.
  const fault = thrown as NatsError;
  if (fault.api_error) return apiFault(fault.api_error, what);
  const details = { reason: "NATS_UNAVAILABLE", cause: thrown };
  if (fault.code === "503") return new LatheError("UNAVAILABLE", `${what}: nothing answers (no responders)`, details);
  if (UNREACHABLE.has(fault.code))
    return new LatheError("UNAVAILABLE", `${what}: NATS does not answer (${fault.code})`, details);
  if (fault.code === "MAX_PAYLOAD_EXCEEDED") {
    return new LatheError("RESOURCE_EXHAUSTED", `${what}: larger than one message may be`, {
      reason: "PAYLOAD_TOO_LARGE",
      cause: thrown,
    });
  }
  if (fault.code?.startsWith?.("PERMISSIONS") || fault.code?.startsWith?.("AUTH")) {
    return new LatheError("FAILED_PRECONDITION", `${what}: NATS refuses these credentials (${fault.message})`, {
      reason: "NATS_FORBIDDEN",
      cause: thrown,
    });
  }
  return new LatheError("INTERNAL", `${what}: ${thrown.message}`, { cause: thrown });
}

/** The LatheError for a first connection to `url` that failed. */
export function firstFault(thrown: unknown, url: string): LatheError {
  const fault = thrown as { code?: string; message?: string; chainedError?: { code?: string; message?: string } };
  const why = fault.chainedError?.code ?? fault.chainedError?.message ?? fault.code ?? fault.message ?? String(thrown);
  const codes: Record<string, string> = {
    CONNECTION_REFUSED: "ECONNREFUSED",
    TIMEOUT: "no answer",
    CONNECTION_TIMEOUT: "no answer",
  };
  if (/AUTH/.test(fault.code ?? "")) {
    return new LatheError("FAILED_PRECONDITION", `NATS at ${url} refuses these credentials (${why})`, {
      reason: "NATS_FORBIDDEN",
      cause: thrown,
    });
  }
  if (fault.code === "INVALID_OPTION" || fault.code === "BAD_CREDS" || fault.code === "TLS") {
    return new LatheError("FAILED_PRECONDITION", `NATS at ${url}: ${fault.message ?? why} (${why})`, {
      reason: "NATS_SETTINGS",
      cause: thrown,
    });
  }
  return new LatheError("UNAVAILABLE", `NATS at ${url} is not reachable (${codes[why] ?? why})`, {
    reason: "NATS_UNAVAILABLE",
    cause: thrown,
  });
}

/** Whether the same request may be sent again: its outcome is unknown, or the server is not up yet. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof LatheError && error.code === "UNAVAILABLE";
}

/** Whether NATS or its JetStream is away, so that a reader waits and asks again. */
export function isOutage(error: unknown): boolean {
  return isUnavailable(error) || (error instanceof LatheError && error.reason === "STORAGE_FULL");
}

/** Waits; ends early, without an error, when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
}
