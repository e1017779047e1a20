import { createHash } from "node:crypto";
import type { JsonCodec } from "../../shared/events/catalog";
import { hasLabels } from "../../shared/comparison/filter";
import type { FieldViolation } from "../../shared/process/errors";
import { SearchState, type ListSearchesRequest, type Search } from "../../shared/proto/lathe/v1/search";
import { refuse } from "../../shared/space/validate";
import { branchCount } from "./branches";

const DEFAULT_PAGE = 50;
const MAX_PAGE = 200;

/** A search's place in the list: the fields that order and filter its pages, a few hundred bytes beside a record of many thousands. */
export interface Place {
  /** Milliseconds since 1970. */
  createdAt: number;
  state: SearchState;
  labels: Record<string, string>;
  /** Searches that it branches into, beside itself; absent for none. */
  branches?: number;
  /** Revision of the record that the place was made from. A place of an older record does not replace that of a newer one. */
  revision: number;
}

/** Places are stored as plain JSON: only the search service reads and writes them. */
export const placeCodec: JsonCodec<Place> = { toJSON: (place) => place, fromJSON: (json) => json as Place };

export function placeOf({ createdAt, state, spec }: Search, revision: number): Place {
  const branches = branchCount(spec);
  const place = { createdAt: createdAt?.getTime() ?? 0, state, labels: spec?.labels ?? {}, revision };
  return branches > 0 ? { ...place, branches } : place;
}

/** A search in the list. */
type Listed = Pick<Place, "createdAt" | "state" | "labels"> & { id: string };

/** Content of a page token: the last search of its page, and a digest of the filter. */
interface Cursor {
  createdAt: number;
  id: string;
  filter: string;
}

/**
 * Ids of one page of the searches that match, newest first. A page begins after the last search of the page before, so that searches
 * which begin meanwhile shift nothing. A size above 200 counts as 200; a token of another filter is INVALID_ARGUMENT.
 */
export function page(
  searches: readonly Listed[],
  request: ListSearchesRequest,
): { ids: string[]; nextPageToken: string } {
  const { pageSize, pageToken, states, labels } = request;
  const violations: FieldViolation[] = [];
  states.forEach((state, index) => {
    if (state === SearchState.SEARCH_STATE_UNSPECIFIED)
      violations.push({ field: `states[${index}]`, description: `is ${state}, must be a state of a search` });
  });
  const filter = digest(states, labels);
  const after = pageToken === "" ? undefined : readToken(pageToken);
  if (pageToken !== "" && after?.filter !== filter)
    violations.push({
      field: "page_token",
      description: after ? "belongs to a list with another filter" : "is no token that this service gave",
    });
  refuse("INVALID_LIST", "request", violations);

  const matching = searches
    .filter(({ state }) => states.length === 0 || states.includes(state))
    .filter((search) => hasLabels(search.labels, labels))
    .sort(newestFirst)
    .filter((search) => after === undefined || newestFirst(search, after) > 0);
  const size = Math.min(pageSize || DEFAULT_PAGE, MAX_PAGE);
  const chosen = matching.slice(0, size);
  const last = chosen.at(-1);
  const more = matching.length > chosen.length && last !== undefined;
  const { createdAt, id } = last ?? { createdAt: 0, id: "" };
  return { ids: chosen.map((search) => search.id), nextPageToken: more ? writeToken({ createdAt, id, filter }) : "" };
}

/** The order of lists: by time of creation, then by id. */
export function newestFirst(a: Pick<Listed, "createdAt" | "id">, b: Pick<Listed, "createdAt" | "id">): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function digest(states: readonly SearchState[], labels: Record<string, string>): string {
  const canonical = JSON.stringify([[...states].sort(), Object.entries(labels).sort()]);
  return createHash("sha256").update(canonical).digest("hex").slice(0, 12);
}

function writeToken({ createdAt, id, filter }: Cursor): string {
  return Buffer.from(JSON.stringify([createdAt, id, filter])).toString("base64url");
}

function readToken(token: string): Cursor | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    // The caller reports that this is no token of this service.
    return undefined;
  }
  if (!Array.isArray(parts)) return undefined;
  const [createdAt, id, filter] = parts as unknown[];
  if (typeof createdAt !== "number" || typeof id !== "string" || typeof filter !== "string") return undefined;
  return { createdAt, id, filter };
}
