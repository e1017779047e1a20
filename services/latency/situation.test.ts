import type { EventName, LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { situation } from "./situation";

const history = (...types: EventName[]): StoredEvent[] =>
  types.map((type, i) => ({
    sequence: 10 * (i + 1),
    time: new Date(0),
    searchId: "s-1",
    event: { type, data: { reason: "WHY" } } as unknown as LatheEvent,
  }));

describe("situation", () => {
  it.each<[EventName[], "network" | "operators", string | undefined]>([
    [["search.created"], "operators", undefined],
    [["search.created", "operators.profiled"], "operators", "operators.profiled has been told"],
    [["search.created", "operators.profiled", "network.trained"], "network", undefined],
    [["search.created", "network.profiled"], "network", "network.profiled has been told"],
    [["search.created", "search.paused"], "operators", "the search is paused"],
    [["search.created", "search.paused", "search.resumed"], "operators", undefined],
    [["search.created", "search.paused", "search.resumed", "search.paused"], "network", "the search is paused"],
    [["search.created", "search.cancelled"], "network", "the search has ended (search.cancelled)"],
    [["search.created", "search.cancelled", "search.resumed"], "network", "the search has ended (search.cancelled)"],
    [["search.created", "work.failed"], "network", "the search is failing (WHY)"],
    [[], "network", "the search is unknown: it has been deleted"],
  ])("after %j, %s: %s", (types, kind, skip) => {
    expect(situation(history(...types), kind)).toEqual({ skip, sequence: 10 * types.length });
  });
});
