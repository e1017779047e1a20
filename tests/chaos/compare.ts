import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { StoredEvent } from "../../shared/events/catalog";
import {
  ARTIFACTS_BUCKET,
  CHECKPOINTS_BUCKET,
  DEAD_LETTERS_STREAM,
  EVENTS_STREAM,
  objectStream,
  RECORD_BUCKETS,
  recordStream,
  WORK_STREAM,
} from "../../shared/events/subjects";
import { until } from "../../shared/testing/until";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { outcome } from "../outcome";
import type { System } from "../system";
import { patiently } from "./patiently";

/** The remains of a search: equal in every run of one spec on one machine. */
export interface Ending {
  state: string;
  genotype: unknown;
  /** SHA-256 of the bytes that a client downloads, by kind. */
  files: Record<string, string>;
  /** The events in their order, without times and random names. */
  events: unknown[];
}

const FILES = ["network.weights", "network.onnx", "derived.weights", "derived.onnx"];

/** Reads what a search has left. Events whose sequence is in `foreign` were stored by the test, and are left out. */
export async function endingOf(
  system: System,
  search: Search,
  foreign: ReadonlySet<number> = new Set(),
): Promise<Ending> {
  const history = (await system.history(search.id)).filter(({ sequence }) => !foreign.has(sequence));
  const files: Record<string, string> = {};
  for (const { kind, object } of search.artifacts) {
    if (!FILES.includes(kind)) continue;
    files[kind] = createHash("sha256")
      .update(await system.download(search.id, object))
      .digest("hex");
  }
  const { state, conditions, result } = search;
  const failed = conditions.find(({ type }) => type === "Failed");
  return {
    state: SearchState[state] + (failed ? ` (${failed.reason}: ${failed.message})` : ""),
    genotype: result?.genotype,
    files,
    events: outcome(history),
  };
}

/** Runs a search that nothing disturbs. */
export async function undisturbed(
  system: System,
  spec: SearchSpec,
): Promise<{ ending: Ending; history: StoredEvent[]; id: string }> {
  const { search, history } = await system.run(spec);
  return { ending: await endingOf(system, search), history, id: search.id };
}

/** Each difference between a search and its undisturbed twin, in words; empty where they are equal. */
export function differences(twin: Ending, ending: Ending): string[] {
  const found: string[] = [];
  if (ending.state !== twin.state) found.push(`state is ${ending.state}, must be ${twin.state}`);
  if (!isDeepStrictEqual(ending.genotype, twin.genotype)) found.push("the genotype differs");
  for (const kind of new Set([...Object.keys(twin.files), ...Object.keys(ending.files)]))
    if (ending.files[kind] !== twin.files[kind])
      found.push(`${kind} is ${ending.files[kind] ?? "missing"}, must be ${twin.files[kind] ?? "absent"}`);
  const longer = twin.events.length > ending.events.length ? twin.events : ending.events;
  const at = longer.findIndex((_, index) => !isDeepStrictEqual(twin.events[index], ending.events[index]));
  if (at >= 0) {
    const shown = (events: unknown[]) => JSON.stringify(events[at] ?? "nothing").slice(0, 300);
    found.push(`event ${at + 1} is ${shown(ending.events)}, must be ${shown(twin.events)}`);
  }
  return found;
}

/** Streams and buckets that hold nothing once every search is deleted. */
export const EMPTIED: readonly string[] = [
  ...[EVENTS_STREAM, WORK_STREAM, DEAD_LETTERS_STREAM],
  ...RECORD_BUCKETS.map(recordStream),
  ...[CHECKPOINTS_BUCKET, ARTIFACTS_BUCKET].map(objectStream),
];

/** Deletes the searches, and waits until no stream holds a message. */
export async function deleteAll(system: System, searches: readonly string[]): Promise<void> {
  // A client that has just met a dead service waits before it connects again.
  for (const searchId of searches) await patiently(() => system.search.api.deleteSearch({ searchId }));
  await until(
    () => Promise.all(EMPTIED.map(async (name) => `${name}: ${(await system.stream(name)).messages}`)),
    (left) => left.every((text) => text.endsWith(": 0")),
  );
}
