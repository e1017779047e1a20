import { LatheError, type ErrorCode } from "../shared/process/errors";
import { ConditionStatus, SearchState, type Condition, type Search } from "../shared/proto/lathe/v1/search";

/** Exit codes of commands. */
export const EXIT = {
  done: 0,
  /** A bug in Lathe. */
  internal: 1,
  /** Invalid arguments or spec, or a command that the state of the search does not allow. */
  usage: 2,
  searchFailed: 3,
  /** Cancelled or interrupted. */
  cancelled: 4,
  /** No NATS, a service that does not start or answer, or a full disk. */
  environment: 5,
} as const;

const exitOf: Record<ErrorCode, number> = {
  INVALID_ARGUMENT: EXIT.usage,
  NOT_FOUND: EXIT.usage,
  ALREADY_EXISTS: EXIT.usage,
  FAILED_PRECONDITION: EXIT.environment,
  ABORTED: EXIT.environment,
  CANCELLED: EXIT.cancelled,
  RESOURCE_EXHAUSTED: EXIT.environment,
  UNAVAILABLE: EXIT.environment,
  UNIMPLEMENTED: EXIT.environment,
  DEADLINE_EXCEEDED: EXIT.environment,
  INTERNAL: EXIT.internal,
};

const noRoom = new Set(["ENOSPC", "EDQUOT"]);
const notWritable = new Set(["EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE"]);

/** Turns any thrown value into the error of a command. Errors of the operating system are not internal errors. */
export function commandError(thrown: unknown): LatheError {
  const error = LatheError.from(thrown);
  if (error.code !== "INTERNAL") return error;
  const { code = "", path, message } = (error.cause ?? {}) as Partial<NodeJS.ErrnoException>;
  const what = path ?? "a file of this run";
  if (noRoom.has(code))
    return new LatheError(
      "RESOURCE_EXHAUSTED",
      `${what} cannot be written: the disk is full (${code}); free some space`,
      { reason: "DISK_FULL", cause: thrown },
    );
  if (!notWritable.has(code)) return error;
  return new LatheError("FAILED_PRECONDITION", `${what} cannot be used: ${message ?? code}`, {
    reason: "SYSTEM_REFUSED",
    cause: thrown,
  });
}

/** Reason of the error of a failed search. */
export const SEARCH_FAILED = "SEARCH_FAILED";

/** Reasons of the errors of a command that does not fit the state of its search. */
const NOT_NOW = new Set(["SEARCH_STATE", "NO_RESULT"]);

export function exitCode(error: LatheError): number {
  if (error.reason === SEARCH_FAILED) return EXIT.searchFailed;
  return NOT_NOW.has(error.reason) ? EXIT.usage : exitOf[error.code];
}

/** An error as text: one line, then one line per violation, which begins with its field. */
export function errorLines(error: LatheError): string[] {
  if (error.violations.length === 0) return [`lathe: ${error.message}`];
  // The message already lists the first violations; cut them off, because each gets its own line.
  const [first, ...others] = error.violations;
  // A message that is its violation says it once.
  const whole = first && [first.description, `${first.field} ${first.description}`].includes(error.message);
  if (whole && others.length === 0) return [`lathe: ${error.message}`];
  const at = first ? error.message.indexOf(first.field) : -1;
  const head = at > 0 ? error.message.slice(0, at).replace(/[\s:;,]+$/, "") : error.message;
  if (error.violations.length === 1 && first) return [`lathe: ${head}: ${first.field} ${first.description}`];
  const omitted = Number(error.metadata.violations_omitted ?? 0);
  return [
    `lathe: ${head}:`,
    ...error.violations.map(({ field, description }) => `  ${field} ${description}`),
    ...(omitted > 0 ? [`  and ${omitted} more`] : []),
  ];
}

/** The condition that says what is kept of a cancelled search, or why nothing is; undefined until that is known. */
export const keptOf = ({ conditions }: Pick<Search, "conditions">): Condition | undefined =>
  conditions.find(({ type }) => type === "Kept");

/** The error of a command that waited for a search; undefined if the search succeeded. */
export function outcomeError({ id, state, conditions }: Search): LatheError | undefined {
  if (state === SearchState.SEARCH_STATE_CANCELLED) {
    const { status, message } = keptOf({ conditions }) ?? {};
    const what = status === ConditionStatus.CONDITION_STATUS_TRUE ? "kept" : "nothing is kept";
    const more = message === undefined ? "" : `; ${what}: ${message}`;
    return new LatheError("CANCELLED", `search ${id} was cancelled${more}`, { reason: "SEARCH_CANCELLED" });
  }
  if (state !== SearchState.SEARCH_STATE_FAILED) return undefined;
  const { reason, message } = conditions.find(({ type }) => type === "Failed") ?? {};
  const why = [reason, message].filter(Boolean).join(": ") || "no reason was given";
  return new LatheError("FAILED_PRECONDITION", `search ${id} failed: ${why}`, { reason: SEARCH_FAILED });
}

const text = (lines: string[]) => lines.map((line) => `${line}\n`).join("");

/** Prints results: lines to stdout. */
export const print = (...lines: string[]): void => void process.stdout.write(text(lines));

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** Prints progress and errors: lines to stderr. */
export const complain = (...lines: string[]): void => void process.stderr.write(text(lines));
