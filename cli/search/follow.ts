import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import { SearchState, type SearchServiceService, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import type { Api } from "../../shared/rpc/client";

export type SearchApi = Api<typeof SearchServiceService>;

export interface FollowOptions {
  /** Sequence of the first event; 0 for the whole history. */
  fromSequence?: number;
  includeProgress?: boolean;
  signal?: AbortSignal | undefined;
  /** Called once for each loss of the connection. */
  onLost?: (error: LatheError) => void;
  /** How long the service may be unreachable, or keep back an event that it has, in milliseconds; 60 s unless given. */
  patienceMs?: number;
}

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
      const isLost = error.code === "UNAVAILABLE" || error.reason === "CLIENT_TOO_SLOW";
      if (!isLost || signal?.aborted) throw error;
      if (lostAt === undefined) onLost?.(error);
      lostAt ??= performance.now();
      // Between two epochs a stream may be silent for hours, and proxies cut it: the service is reachable and owes nothing.
      if (await owesNothing(api, searchId, next, call)) lostAt = undefined;
      else if (performance.now() - lostAt > patienceMs) throw error;
    }
    try {
      await pause(Math.min(2_000, 100 * 2 ** attempt), undefined, call);
    } catch {
      throw LatheError.from(signal?.reason);
    }
  }
}

/** Whether the service answers, and has stored no event from a sequence on that a stream could have sent. */
async function owesNothing(
  api: Pick<SearchApi, "getSearch">,
  searchId: string,
  next: number,
  call: { signal?: AbortSignal },
): Promise<boolean> {
  try {
    const { search } = await api.getSearch({ searchId }, call);
    return search !== undefined && !hasEnded(search.state) && search.lastSequence < Math.max(1, next);
  } catch (thrown) {
    const error = LatheError.from(thrown);
    // A proxy may keep the question until its deadline.
    if (error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED") return false;
    throw error;
  }
}
