import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import { SearchState, type SearchServiceService, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import type { Api } from "../../shared/rpc/client";

export type SearchApi = Api<typeof SearchServiceService>;

interface FollowOptions {
  /** Sequence of the first event; 0 for the whole history. */
  fromSequence?: number;
  includeProgress?: boolean;
  signal?: AbortSignal | undefined;
  /** Called once for each loss of the connection. */
  onLost?: (error: LatheError) => void;
  /** How long the service may be unreachable in milliseconds; 60 s unless given. */
  patienceMs?: number;
}

/** A call to an unreachable service fails earlier: after 20 s of connecting, or after the repeats of shared/rpc/client.ts, some 9 s. */
const connectedMs = 30_000;

const ended = new Set([
  SearchState.SEARCH_STATE_SUCCEEDED,
  SearchState.SEARCH_STATE_FAILED,
  SearchState.SEARCH_STATE_CANCELLED,
]);

export const hasEnded = (state: SearchState): boolean => ended.has(state);

/** The events of a search until it has ended, each once and in order, also across losses of the connection. */
export async function* follow(
  api: Pick<SearchApi, "watchSearch" | "getSearch">,
  searchId: string,
  { fromSequence = 0, includeProgress = false, signal, onLost, patienceMs = 60_000 }: FollowOptions = {},
): AsyncGenerator<WatchSearchResponse> {
  const call = signal ? { signal } : {};
  let next = fromSequence;
  let lostAt: number | undefined;
  for (let attempt = 0; ; attempt++) {
    const calledAt = Date.now();
    try {
      for await (const response of api.watchSearch({ searchId, fromSequence: next, includeProgress }, call)) {
        lostAt = undefined;
        attempt = 0;
        // Progress messages have sequence 0 and are not part of the history.
        if (response.sequence > 0 && response.sequence < next) continue;
        if (response.sequence > 0) next = response.sequence + 1;
        yield response;
      }
      const { search } = await api.getSearch({ searchId }, call);
      if (search && hasEnded(search.state)) return;
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.code !== "UNAVAILABLE" || signal?.aborted) throw error;
      // A call that lasted was connected, even if no event arrived in that time.
      if (Date.now() - calledAt > connectedMs) {
        lostAt = undefined;
        attempt = 0;
      }
      if (lostAt === undefined) onLost?.(error);
      lostAt ??= Date.now();
      if (Date.now() - lostAt > patienceMs) throw error;
    }
    try {
      await pause(Math.min(2_000, 100 * 2 ** attempt), undefined, call);
    } catch {
      throw LatheError.from(signal?.reason);
    }
  }
}
