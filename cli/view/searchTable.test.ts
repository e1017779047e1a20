import { Search, SearchPhase, SearchState } from "../../shared/proto/lathe/v1/search";
import { searchTable } from "./searchTable";

it("lists searches in columns under a header, with the name and the other labels", () => {
  const searches = [
    {
      id: "s-aaaa",
      state: SearchState.SEARCH_STATE_RUNNING,
      phase: SearchPhase.SEARCH_PHASE_RETRAINING,
      spec: { preset: "small", labels: { name: "harbour", team: "roads", run: "7" } },
      createdAt: new Date(0),
    },
    { id: "s-b", state: SearchState.SEARCH_STATE_PENDING, spec: { preset: "tiny" }, createdAt: new Date(0) },
  ];
  expect(searchTable(searches.map((search) => Search.fromPartial(search)))).toEqual([
    "ID      STATE    PHASE        PRESET  CREATED                   NAME     LABELS",
    "s-aaaa  running  retraining   small   1970-01-01T00:00:00.000Z  harbour  team=roads,run=7",
    "s-b     pending  unspecified  tiny    1970-01-01T00:00:00.000Z",
  ]);
});
