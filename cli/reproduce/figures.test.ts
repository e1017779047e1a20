import { SearchCreated } from "../../shared/proto/lathe/v1/events";
import { SearchResult } from "../../shared/proto/lathe/v1/result";
import { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { Genotype } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { compareGenotype } from "./figures";

const network = (classes: number) => Genotype.fromPartial({ classes });
type Event = Parameters<typeof WatchSearchResponse.fromPartial>[0]["event"];
const events = (...all: Event[]) => all.map((event) => WatchSearchResponse.fromPartial({ event }));
const derived: Event = { $case: "architectureDerived", value: { genotype: network(1) } };
const repaired = (number: number): Event => ({
  $case: "architectureRepaired",
  value: { number, changes: ["stage1/depth 2 -> 1"], genotype: network(1 + number) },
});
const compared = (genotype: Genotype, ...all: Event[]) =>
  compareGenotype({
    ...{ folder: "", spec: SearchSpec.fromPartial({}), result: SearchResult.fromPartial({ genotype }), genotype },
    created: SearchCreated.fromPartial({ origin: { searchId: "s-1" } }),
    events: events(...all),
  }).differences;

it("the genotype of a search for a latency is that of its newest repair, or the one that the search chose", () => {
  expect(compared(network(1), derived)).toEqual([]);
  const all = [derived, repaired(1), repaired(2)];
  expect(compared(network(3), ...all)).toEqual([]);
  expect(compared(network(2), ...all)).not.toEqual([]);
  const chosen: Event = { $case: "architectureChosen", value: { repair: 1, genotype: network(2) } };
  expect(compared(network(2), ...all, chosen)).toEqual([]);
  expect(compared(network(3), ...all, chosen)).not.toEqual([]);
});
