import { SearchServiceClient } from "../../shared/proto/lathe/v1/search";
import { LatheError } from "../../shared/process/errors";
import { serveWorker } from "../../shared/process/worker";
import { connect } from "../../shared/rpc/client";

export interface WatchJob {
  /** host:port of the search service. */
  address: string;
  /** The slot of each watcher. */
  slots: number[];
}

/** The events of a search that a watcher has seen, or none yet. The answer is the slot's next search, or "" at the end. */
export interface Seen {
  slot: number;
  searchId: string;
  /** Sequences of the events in the order of their arrival, without progress. */
  sequences: number[];
  /** Why the watch ended before the search. */
  error?: string;
}

/** Watches the searches of slots, each search from its first event to its end, over one connection. */
serveWorker<WatchJob, Seen, void, string>(async ({ address, slots }, { request }) => {
  const connection = connect(SearchServiceClient, address);
  const watcher = async (slot: number, index: number) => {
    let seen: Seen = { slot, searchId: "", sequences: [] };
    for (;;) {
      const searchId = await request(seen);
      if (searchId === "") return;
      seen = { slot, searchId, sequences: [] };
      try {
        const includeProgress = index % 2 === 0;
        for await (const { sequence } of connection.api.watchSearch({ searchId, fromSequence: 0, includeProgress }))
          if (sequence > 0) seen.sequences.push(sequence);
      } catch (thrown) {
        const { code, message } = LatheError.from(thrown);
        seen.error = `${code}: ${message}`;
      }
    }
  };
  await Promise.all(slots.map(watcher));
  connection.close();
});
