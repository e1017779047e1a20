import { LatheError } from "../../shared/process/errors";
import type { SearchServiceService, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import type { Connection } from "../../shared/rpc/client";

/** The events of a search that has ended: sequence and name. */
export type Course = readonly { sequence: number; name: string }[];

/** Reads the course of a search that has ended: what a watcher from its beginning to its end gets, so without network.kept, which follows. */
export async function courseOf({ api }: Connection<typeof SearchServiceService>, searchId: string): Promise<Course> {
  const events: WatchSearchResponse[] = [];
  for await (const event of api.watchSearch({ searchId, fromSequence: 0, includeProgress: false })) events.push(event);
  return events
    .map(({ sequence, event }) => ({ sequence, name: event?.$case ?? "" }))
    .filter(({ name }) => name !== "networkKept");
}

/** Trainings that may begin while a search waits for its retraining: the worker takes from both queues in turns. */
const MAX_OVERTAKEN = 3;

/**
 * The most trainings that began while a search waited for its retraining. `courses` are in the order of their starts. INTERNAL where
 * trainings or retrainings did not begin in the order in which they were queued, or a retraining was overtaken by more than MAX_OVERTAKEN.
 */
export function checkTurns(courses: readonly Course[]): number {
  const first = (course: Course, name: string) => course.find((event) => event.name === name)?.sequence;
  const began = courses.flatMap((course) => first(course, "epochCompleted") ?? []);
  ascending(began, "trainings began in another order than their searches");
  const waits = courses
    .map((course) => ({ from: first(course, "architectureDerived"), to: first(course, "retrainingEpochCompleted") }))
    .filter((wait): wait is { from: number; to: number } => wait.from !== undefined && wait.to !== undefined)
    .sort((a, b) => a.from - b.from);
  ascending(
    waits.map(({ to }) => to),
    "retrainings began in another order than their networks were derived",
  );
  const overtaken = waits.map(({ from, to }) => began.filter((at) => at > from && at < to).length);
  const most = Math.max(0, ...overtaken);
  if (most > MAX_OVERTAKEN)
    throw new LatheError("INTERNAL", `${most} trainings began while a retraining waited, at most ${MAX_OVERTAKEN} may`);
  return most;
}

function ascending(sequences: readonly number[], otherwise: string): void {
  const at = sequences.findIndex((sequence, index) => index > 0 && sequence < sequences[index - 1]!);
  if (at > 0)
    throw new LatheError("INTERNAL", `${otherwise}: sequence ${sequences[at]} comes after ${sequences[at - 1]}`);
}
