import { LatheError, type ErrorCode } from "../process/errors";

/** A fault of the data itself (a file, a folder, a split): reason DATASET_INVALID, so a caller can tell it from a fault of the program. */
export function datasetFault(message: string, code: ErrorCode = "INVALID_ARGUMENT", cause?: unknown): LatheError {
  return new LatheError(code, message, { reason: "DATASET_INVALID", ...(cause === undefined ? {} : { cause }) });
}

/** The text of an unknown thrown value in one line. */
export function reasonOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\s+/g, " ").trim();
}
