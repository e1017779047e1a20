/** The canonical gRPC codes that domain functions use. */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "CANCELLED"
  | "RESOURCE_EXHAUSTED"
  | "UNAVAILABLE"
  | "UNIMPLEMENTED"
  | "DEADLINE_EXCEEDED"
  | "INTERNAL";

/** One fault of one field: "training.epochs", "is 0, must be between 1 and 10000". */
export interface FieldViolation {
  field: string;
  description: string;
}

interface ErrorDetails {
  /** UPPER_SNAKE_CASE cause that a program can act on. */
  reason?: string;
  violations?: readonly FieldViolation[];
  metadata?: Readonly<Record<string, string>>;
  /** How long a client should wait before it repeats the call. */
  retryAfterMs?: number;
  cause?: unknown;
}

/** The only error class of Lathe: a canonical code, a message that names thing, value and bound, and details for programs. */
export class LatheError extends Error {
  override readonly name = "LatheError";
  readonly reason: string;
  readonly violations: readonly FieldViolation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = details.reason ?? code;
    this.violations = details.violations ?? [];
    this.metadata = details.metadata ?? {};
    this.retryAfterMs = details.retryAfterMs;
  }

  /** The only conversion of a thrown value into a LatheError; values of other classes become INTERNAL, with the cause kept. */
  static from(thrown: unknown): LatheError {
    if (thrown instanceof LatheError) return thrown;
    if (thrown instanceof Error) return new LatheError("INTERNAL", thrown.message, { cause: thrown });
    return new LatheError("INTERNAL", String(thrown));
  }
}

/** An INVALID_ARGUMENT error about one field of a request. */
export function invalidField(field: string, description: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `${field} ${description}`, { violations: [{ field, description }] });
}
