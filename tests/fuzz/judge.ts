import type { Answer, Timing } from "./call";

/** Codes by which a service may refuse any request. */
const REFUSALS: readonly Answer["code"][] = [
  ...(["OK", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"] as const),
  ...(["ABORTED", "RESOURCE_EXHAUSTED"] as const),
];

/** The fault of an answer; undefined where it has none. */
export function faultOf(
  { code, details, violations, ms }: Answer,
  { deadlineMs, cancelAfterMs }: Timing,
  limitMs: number,
) {
  if (REFUSALS.includes(code)) return undefined;
  if (code === "CANCELLED" && cancelAfterMs !== undefined) return undefined;
  if (code === "DEADLINE_EXCEEDED") {
    if (deadlineMs === undefined || ms >= limitMs) return `no answer in ${limitMs / 1000} s`;
    return ms < deadlineMs - EARLY_MS ? `DEADLINE_EXCEEDED before the deadline of ${deadlineMs} ms` : undefined;
  }
  if (code !== "INVALID_ARGUMENT") return `${code}: ${details}`;
  if (violations.length > 0 && violations.every(({ field }) => field !== "")) return undefined;
  return `INVALID_ARGUMENT without a named field: ${details}`;
}

/** Clocks of client and server are read at different times. */
const EARLY_MS = 50;

/** Faults are counted as one where they differ in numbers, ids and quoted values only. */
export function kindOf(fault: string): string {
  return fault
    .replace(/"[^"]*"?/g, '"..."')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "...")
    .replace(/\bs-[a-z0-9]{12}\b/g, "s-...")
    .replace(/-?\d+(\.\d+)?/g, "#")
    .slice(0, 200);
}
