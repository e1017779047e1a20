import type { Bus } from "./bus";
import { listSubjects, purgeSubjects } from "./jetstream";
import { Objects } from "./objects";
import { EVENTS_STREAM, HANDBACKS_BUCKET, OBJECT_BUCKETS, recordStream, recordSubject, searchFilter } from "./subjects";
import { withdrawWork } from "./withdraw";

/** Removes the queued work, events, objects and hand-back counts of a deleted search; safe to repeat. The search service removes its record. */
export async function purgeSearch(bus: Bus, searchId: string): Promise<void> {
  await withdrawWork(bus, searchId);
  for (const bucket of OBJECT_BUCKETS) await new Objects(bus, bucket).deleteAll(searchId);
  const stream = recordStream(HANDBACKS_BUCKET);
  for (const subject of (await listSubjects(bus, stream, recordSubject(HANDBACKS_BUCKET, ">"))).keys()) {
    if (subject.startsWith(recordSubject(HANDBACKS_BUCKET, `${searchId}/`))) await purgeSubjects(bus, stream, subject);
  }
  await purgeSubjects(bus, EVENTS_STREAM, searchFilter(searchId));
}
