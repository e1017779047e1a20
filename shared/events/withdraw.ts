import type { Bus } from "./bus";
import { deleteMessage, listSubjects, readMessage } from "./jetstream";
import { WORK_STREAM, workFilters } from "./subjects";

/**
 * Takes the work items of a search out of the queue, also those of device classes that no worker serves; safe to repeat. Only items up to
 * a resumption are taken, if one is given: a later one may have been queued meanwhile, and an item of kind keep is wanted because the search
 * has ended. An item in hand goes too. Its worker stops by the events of the
 * search, and the server confirms the signs of life and the acknowledgement of an item that is gone.
 *
 * The subject of an item ends in its search id, so the server finds the items without a scan of the queue. Messages are deleted by their
 * sequence: a purge by subject moves other consumers past what waits for them on nats-server 2.9.
 */
export async function withdrawWork(bus: Bus, searchId: string, upTo = Infinity): Promise<void> {
  const request = { what: `work items of search ${searchId}` };
  for (const filter of workFilters(searchId))
    for (const subject of (await listSubjects(bus, WORK_STREAM, filter)).keys())
      for (let seq = 1; ;) {
        const item = await readMessage(bus, WORK_STREAM, { seq, next_by_subj: subject }, request);
        if (!item) break;
        if (resumptionIn(item.id) <= upTo) await deleteMessage(bus, WORK_STREAM, item.sequence);
        seq = item.sequence + 1;
      }
}

/**
 * The resumption in an item's id: 1 in s-a:train:1 and s-a:profile:operators-1, 0 in s-a:profile:operators. An item of kind keep, which
 * follows the end of its search, comes after every resumption.
 */
const resumptionIn = (id: string) => (id.includes(":keep:") ? Infinity : Number(/[:-](\d+)$/.exec(id)?.[1] ?? 0));
