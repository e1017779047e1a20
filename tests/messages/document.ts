import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messagesOf } from "./extract";

/** The document of messages, below the root. */
export const TROUBLESHOOTING = join("docs", "troubleshooting.md");

/** Heading of a list of messages: the reason of the errors, in capitals. */
const REASON = /^### ([A-Z_]+)$/;
/** A line of such a list. */
const ITEM = /^- `/;

/**
 * The messages of each reason that a user of a service or of the command line can meet, sorted. OTHER are those whose reason their caller
 * decides. Those of INTERNAL are left out: a service answers with the number of an incident instead.
 */
export function userMessages(root: string): Map<string, string[]> {
  const lists = new Map<string, Set<string>>();
  for (const { reason = "OTHER", text } of messagesOf(root, sourceFiles(root))) {
    // Codes are arguments of functions that make errors, too.
    if (reason === "INTERNAL" || /^[A-Z_]{4,}$/.test(text)) continue;
    const list = lists.get(reason) ?? new Set();
    lists.set(reason, list);
    // A message without a word of its own is that of another error.
    if (!/^(<[^>]*>|[\s:;,])*$/.test(text)) list.add(text.split("\n")[0]!);
  }
  return new Map([...lists].map(([reason, texts]) => [reason, [...texts].sort()]));
}

/** Sources of services and of the command line, without generated code. */
function sourceFiles(root: string): string[] {
  const below = (folder: string): string[] =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file));
  return ["services", "shared", "cli"]
    .flatMap(below)
    .filter((file) => file.endsWith(".ts") && !/\.(test|fixture)\.ts$|^shared\/(proto|testing)\//.test(file))
    .sort();
}

interface Documented {
  readonly text: string;
  /** Reasons of messages about which the document says nothing. */
  readonly missing: readonly string[];
  /** Reasons in the document that no message has. */
  readonly idle: readonly string[];
}

/** The document with the list under each reason replaced by that of the code. */
export function documented(text: string, messages: ReadonlyMap<string, readonly string[]>): Documented {
  const told = new Set<string>();
  const lines: string[] = [];
  for (const line of text.split("\n")) {
    if (ITEM.test(line)) continue;
    lines.push(line);
    const reason = REASON.exec(line)?.[1];
    if (reason === undefined) continue;
    told.add(reason);
    lines.push("", ...(messages.get(reason) ?? []).map((message) => `- \`${message}\``));
  }
  return {
    text: lines.join("\n").replace(/\n{3,}/g, "\n\n"),
    missing: [...messages.keys()].filter((reason) => !told.has(reason)).sort(),
    idle: [...told].filter((reason) => !messages.has(reason)),
  };
}

export const readDocument = (root: string): string => readFileSync(join(root, TROUBLESHOOTING), "utf8");
