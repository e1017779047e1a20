import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import { ConditionStatus, type Search, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { keptOf } from "../exit";
import { follow, type FollowOptions, type SearchApi } from "./follow";

const POLL_MS = 200;

/** Whether a cancelled search has a network. */
export const hasKept = (search: Search): boolean => keptOf(search)?.status === ConditionStatus.CONDITION_STATUS_TRUE;

interface KeptOptions extends FollowOptions {
  /** How long the network of a cancelled search is waited for, in milliseconds. */
  keepMs: number;
  /** Called where the network of a cancelled search has to be waited for. */
  onKeeping: () => void;
}

/**
 * The events of follow(), and network_kept after search_cancelled. WatchSearch ends with the cancellation and sends network_kept only to
 * later calls. A network that is not kept in time is left out, without an error.
 */
export async function* followToKept(
  api: Pick<SearchApi, "watchSearch" | "getSearch">,
  searchId: string,
  { keepMs, onKeeping, ...options }: KeptOptions,
): AsyncGenerator<WatchSearchResponse> {
  let next = options.fromSequence ?? 0;
  let isAwaited = false;
  for await (const response of follow(api, searchId, options)) {
    next = Math.max(next, response.sequence + 1);
    if (response.event?.$case === "searchCancelled") isAwaited = true;
    if (response.event?.$case === "networkKept") isAwaited = false;
    yield response;
  }
  if (!isAwaited) return;
  const call = options.signal ? { signal: options.signal } : {};
  const isKept = async () => {
    const { search } = await api.getSearch({ searchId }, call);
    return search !== undefined && keptOf(search) !== undefined;
  };
  const deadline = performance.now() + keepMs;
  for (let look = 1; ; look++) {
    try {
      if (await isKept()) break;
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.code !== "UNAVAILABLE" || options.signal?.aborted) throw error;
    }
    if (look === 1) onKeeping();
    if (performance.now() > deadline) return;
    try {
      await pause(POLL_MS, undefined, call);
    } catch {
      throw LatheError.from(options.signal?.reason);
    }
  }
  yield* follow(api, searchId, { ...options, fromSequence: next });
}
