import type { Bus } from "../../shared/events/bus";
import { dropDeadLetter } from "../../shared/events/deadLetters";
import { SearchServiceService } from "../../shared/proto/lathe/v1/search";
import { service, type Service } from "../../shared/rpc/handlers";
import { download } from "./artifacts";
import { get, list } from "./deadLetters";
import { listParetoFronts } from "./pareto";
import type { Projection } from "./projection";
import { Feeds } from "./feed";
import { Searches } from "./searches";
import { validateSearchId } from "./validate";
import { watch } from "./watch";

/** SearchService over the searches of a bus. */
export function searchService(bus: Bus, projection: Projection, maxSearches: number): Service {
  const searches = new Searches(bus, projection, maxSearches);
  const feeds = new Feeds(bus, projection);
  return service(SearchServiceService, {
    startSearch: async (request) => ({ search: await searches[request.validateOnly ? "check" : "start"](request) }),
    getSearch: async ({ searchId }) => ({ search: (await projection.get(validateSearchId(searchId))).search }),
    listSearches: async (request) => searches.list(request),
    listParetoFronts: (request) => listParetoFronts(projection, request),
    async *watchSearch({ searchId, fromSequence, includeProgress }, { signal }) {
      const { search } = await projection.current(validateSearchId(searchId));
      yield* watch(bus, feeds, search, { fromSequence, includeProgress, signal });
    },
    pauseSearch: async ({ searchId }) => ({ search: await searches.pause(validateSearchId(searchId)) }),
    resumeSearch: async ({ searchId }) => ({ search: await searches.resume(validateSearchId(searchId)) }),
    cancelSearch: async ({ searchId, reason }) => ({
      search: await searches.cancel(validateSearchId(searchId), reason),
    }),
    deleteSearch: async ({ searchId }) => {
      await searches.delete(validateSearchId(searchId));
      return {};
    },
    listArtifacts: async ({ searchId }) => ({
      artifacts: (await projection.get(validateSearchId(searchId))).search.artifacts,
    }),
    async *downloadArtifact({ searchId, object }, { signal }) {
      const { search } = await projection.get(validateSearchId(searchId));
      yield* download(bus, search, object, signal);
    },
    listDeadLetters: (request) => list(bus, request),
    getDeadLetter: async ({ sequence }) => ({ deadLetter: await get(bus, sequence) }),
    dropDeadLetter: async ({ sequence }) => {
      await dropDeadLetter(bus, sequence);
      return {};
    },
  });
}
