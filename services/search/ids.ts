import { randomBytes } from "node:crypto";

const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";

/** "s-" and 12 random characters of base 32: 60 bits. */
export function newSearchId(): string {
  return `s-${Array.from(randomBytes(12), (byte) => LETTERS[byte % 32]).join("")}`;
}
