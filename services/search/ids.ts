import { createHash, randomBytes } from "node:crypto";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";

const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";

/** "s-" and 12 random characters of base 32: 60 bits. */
export function newSearchId(): string {
  return `s-${Array.from(randomBytes(12), (byte) => LETTERS[byte % 32]).join("")}`;
}

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
