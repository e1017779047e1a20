import type { JsonCodec } from "../../shared/events/catalog";
import type { SearchState, Search } from "../../shared/proto/lathe/v1/search";

/** A search's place in the list: what pages are ordered and filtered by, a few hundred bytes beside a record of many thousands. */
export interface Place {
  /** Milliseconds since 1970. */
  createdAt: number;
  state: SearchState;
  labels: Record<string, string>;
  /** Of the record that this was read from: an older one does not replace a newer. */
  revision: number;
}

/** Written and read by the search service alone, so as it stands. */
export const placeCodec: JsonCodec<Place> = { toJSON: (place) => place, fromJSON: (json) => json as Place };

export function placeOf({ createdAt, state, spec }: Search, revision: number): Place {
  return { createdAt: createdAt?.getTime() ?? 0, state, labels: spec?.labels ?? {}, revision };
}
