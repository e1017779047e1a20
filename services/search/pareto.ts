import { candidateOfSearch, type Candidate } from "../../shared/comparison/candidate";
import { filtered, hasLabels } from "../../shared/comparison/filter";
import { frontsOf } from "../../shared/comparison/fronts";
import type { LeftOutSearch } from "../../shared/proto/lathe/v1/pareto";
import type { ListParetoFrontsRequest, ListParetoFrontsResponse } from "../../shared/proto/lathe/v1/search";
import { refuse } from "../../shared/space/validate";
import { newestFirst } from "./list";
import type { Projection } from "./projection";
import { isEnded } from "./record";
import { searchIdFault } from "./validate";

const DEFAULT_LIMIT = 200;
const MAX_LIMIT = 1000;

/** The Pareto fronts of ended searches, as ListParetoFronts gives them. Each record is read once, 64 at a time. */
export async function listParetoFronts(
  projection: Projection,
  request: ListParetoFrontsRequest,
): Promise<ListParetoFrontsResponse> {
  const { ids, omitted } = await chosen(projection, request);
  const candidates: Candidate[] = [];
  const out: LeftOutSearch[] = [];
  const read = new Set<string>();
  for await (const { key, value } of projection.records.eachOf(ids)) {
    read.add(key);
    const found = candidateOfSearch(value.search);
    const why = "leftOut" in found ? found.leftOut : filtered(found.candidate, request);
    if (why) out.push(why);
    else if ("candidate" in found) candidates.push(found.candidate);
  }
  // Listed searches may have been deleted meanwhile; a named one that does not exist is refused.
  if (request.searchIds.length > 0) for (const id of ids) if (!read.has(id)) await projection.get(id);
  return { fronts: frontsOf(candidates), leftOut: out, omitted };
}

/** The ids of the searches to read, and the number of those that the limit leaves out. */
async function chosen(
  { places }: Projection,
  { searchIds, labels, limit }: ListParetoFrontsRequest,
): Promise<{ ids: string[]; omitted: number }> {
  const violations = searchIds.flatMap((id, index) => {
    const description = searchIdFault(id);
    return description === undefined ? [] : [{ field: `search_ids[${index}]`, description }];
  });
  if (searchIds.length > 0 && limit > 0)
    violations.push({ field: "limit", description: `is ${limit}, must be 0 where search_ids are given` });
  refuse("INVALID_LIST", "request", violations);
  if (searchIds.length > 0) return { ids: [...new Set(searchIds)], omitted: 0 };
  const ended = (await places.list())
    .map(({ key: id, value }) => ({ id, ...value }))
    .filter((place) => isEnded(place) && hasLabels(place.labels, labels))
    .sort(newestFirst);
  const ids = ended.slice(0, Math.min(limit || DEFAULT_LIMIT, MAX_LIMIT)).map(({ id }) => id);
  return { ids, omitted: ended.length - ids.length };
}
