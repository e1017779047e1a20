import type { StoredEvent } from "../shared/events/catalog";
import { epochOf } from "./system";

/** Fields that may differ between two runs of one spec: measured times, memory, random names, and checkpoints, which hold times. */
const incidental = new Set([
  ...[
    "seconds",
    "searchSeconds",
    "retrainingSeconds",
    "peakMemoryBytes",
    "estimatedMemoryBytes",
    "latency",
    "provenance",
  ],
  ...["object", "checkpoint"],
]);

function essence(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((entry) => !isKind(entry, "checkpoint")).map(essence);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  // deploy.onnx holds the id of its search, so its digest is that of one search.
  if (isKind(value, "deploy.onnx")) return essence({ ...value, kind: "deploy", sha256: "" });
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, entry]) => (incidental.has(key) ? [] : [[key, essence(entry)]])),
  );
}

const isKind = (value: unknown, kind: string) => (value as { kind?: string } | null)?.kind === kind;

/** Name and epoch, as "epoch.completed 2". */
export const nameOf = ({ event }: StoredEvent): string => [event.type, epochOf(event) ?? ""].join(" ").trim();

/**
 * The part of a history that is the same in every run of one spec on one machine, without pauses: the events in order, with losses,
 * removals, genotype and the digests of weights and networks.
 */
export function outcome(history: readonly StoredEvent[]): unknown[] {
  return history
    .filter(({ event }) => event.type !== "search.paused" && event.type !== "search.resumed")
    .map((stored) => ({ name: nameOf(stored), data: essence(stored.event.data) }));
}

/** SHA-256 of each network and weights file in a history. */
export function digests(history: readonly StoredEvent[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { event } of history) {
    if (event.type !== "architecture.derived" && event.type !== "network.trained") continue;
    for (const ref of [event.data.onnx, event.data.weights]) if (ref) found[ref.kind] = ref.sha256;
  }
  return found;
}
