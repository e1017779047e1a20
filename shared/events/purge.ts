import type { Bus } from "./bus";
import { Cursor } from "./cursor";
import { deleteMessage, listSubjects, purgeSubjects } from "./jetstream";
import { Objects } from "./objects";
import { EVENTS_STREAM, HANDBACKS_BUCKET, OBJECT_BUCKETS, recordStream, recordSubject } from "./subjects";
import { withdrawWork } from "./withdraw";

/** Events of one search that are removed at once. */
const SIDE_BY_SIDE = 32;

/** Removes the queued work, events, objects and noted attempts of a deleted search; safe to repeat. The search service removes its record. */
export async function purgeSearch(bus: Bus, searchId: string): Promise<void> {
  await withdrawWork(bus, searchId);
  for (const bucket of OBJECT_BUCKETS) await new Objects(bus, bucket).deleteAll(searchId);
  const stream = recordStream(HANDBACKS_BUCKET);
  for (const subject of (await listSubjects(bus, stream, recordSubject(HANDBACKS_BUCKET, ">"))).keys()) {
    if (subject.startsWith(recordSubject(HANDBACKS_BUCKET, `${searchId}/`))) await purgeSubjects(bus, stream, subject);
  }
  await deleteEvents(bus, searchId);
}

/**
 * Removes the events of a search one by one, search.created first, so that no record is made again from the others. The stream has
 * consumers: a purge by subject moves a consumer of nats-server 2.9.10 past the waiting events of other searches.
 */
async function deleteEvents(bus: Bus, searchId: string): Promise<void> {
  const cursor = new Cursor(bus, searchId, 0, { retryForMs: 30_000 });
  const found: number[] = [];
  const remove = () => Promise.all(found.splice(0).map((sequence) => deleteMessage(bus, EVENTS_STREAM, sequence)));
  for (let message = await cursor.next(); message; message = await cursor.next()) {
    found.push(message.sequence);
    if (found.length >= SIDE_BY_SIDE) await remove();
  }
  await remove();
}
