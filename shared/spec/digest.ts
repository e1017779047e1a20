import { createHash } from "node:crypto";
import { SearchSpec } from "../proto/lathe/v1/spec";

/** SHA-256, hexadecimal, of the canonical JSON of a resolved spec: proto3 JSON with its keys sorted. */
export function specDigest(spec: SearchSpec): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(SearchSpec.toJSON(spec))))
    .digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, entry]) => [key, sorted(entry)]));
}
