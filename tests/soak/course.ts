import { LatheError } from "../../shared/process/errors";
import { SearchState } from "../../shared/proto/lathe/v1/search";
import type { Fleet } from "../chaos/fleet";
import { Followed } from "../chaos/followed";
import { inflict, spared } from "../chaos/inflict";
import { patiently } from "../chaos/patiently";
import { harmText } from "../chaos/plan";
import type { System } from "../system";
import type { Course } from "./plan";

/** The end of a search as a client sees it. */
interface Ended {
  /** Undefined where the search is deleted. */
  id: string | undefined;
  /** What was done and what came of it. */
  text: string;
  /** Why that is wrong. */
  deviation?: string;
}

/** Runs a search and does to it what its course says. `live` holds the searches that run now, this one too. */
export async function runCourse(
  fleet: Fleet,
  system: System,
  course: Course,
  requestId: string,
  live: Set<Followed>,
): Promise<Ended> {
  const { act, event, restart, spec } = course;
  const { api } = system.search;
  const { search } = await patiently(() => api.startSearch({ spec, requestId }));
  const searchId = search!.id;
  const followed = new Followed(system, searchId);
  live.add(followed);
  const done: string[] = [];
  /** Whether a call was in time: it is refused once the search has ended. */
  const inTime = async (what: string, call: () => Promise<unknown>): Promise<boolean> => {
    const after = followed.newest;
    const { taken } = await patiently(async () => ({ taken: await isTaken(call) }));
    done.push(`${taken ? what : `too late to be ${what}`} after ${after}`);
    return taken;
  };
  const strike = async () => {
    if (!restart) return;
    await followed.reaches(restart.event);
    if (followed.isOver) return;
    await spared(fleet, restart.harm, [...live]);
    const after = followed.newest;
    done.push(`${harmText(restart.harm)} (${await inflict(restart.harm, fleet, system, followed)}) after ${after}`);
  };
  /** Acts, and gives the state in which the search must end. */
  const perform = async (): Promise<SearchState> => {
    if (["pause", "cancel", "delete"].includes(act)) await followed.reaches(event);
    if (act === "pause" && (await inTime("paused", () => api.pauseSearch({ searchId }))))
      await inTime("resumed", () => api.resumeSearch({ searchId }));
    const cancel = () => api.cancelSearch({ searchId, reason: "soak" });
    const cancelled = (act === "cancel" || act === "delete") && (await inTime("cancelled", cancel));
    if (cancelled) return SearchState.SEARCH_STATE_CANCELLED;
    return act === "fail" ? SearchState.SEARCH_STATE_FAILED : SearchState.SEARCH_STATE_SUCCEEDED;
  };
  try {
    const [expected] = await Promise.all([perform(), strike(), followed.ended()]);
    const { state, conditions } = await patiently(() => system.ended(searchId));
    const cause = conditions.find(({ type }) => type === "Failed");
    done.push(SearchState[state] + (cause ? ` (${cause.reason}: ${cause.message})` : ""));
    const isDeleted = act === "delete" || act === "delete at its end";
    if (isDeleted) {
      await patiently(async () => ({ taken: await isTaken(() => api.deleteSearch({ searchId })) }));
      done.push("deleted");
    }
    const text = `${searchId} ${done.join(", ")}`;
    const deviation = state === expected ? undefined : `${text}: must be ${SearchState[expected]}`;
    return { id: isDeleted ? undefined : searchId, text, ...(deviation && { deviation }) };
  } finally {
    live.delete(followed);
    await followed.stop();
  }
}

/** Whether a call is not refused for the state of its search: it has ended, or an earlier attempt has deleted it. */
async function isTaken(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (thrown) {
    const error = LatheError.from(thrown);
    if (error.reason === "SEARCH_STATE" || error.code === "NOT_FOUND") return false;
    throw error;
  }
}
