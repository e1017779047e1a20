import { SearchPhase } from "../proto/lathe/v1/search";
import { valuesOf } from "./bounds";
import { PHASES, trainingOfWork, workOfPhase } from "./phases";

it("the table of phases has every phase of the API that does work, in order", () => {
  const { SEARCH_PHASE_UNSPECIFIED, SEARCH_PHASE_DONE } = SearchPhase;
  const phases = valuesOf(SearchPhase).filter(
    (each) => each !== SEARCH_PHASE_UNSPECIFIED && each !== SEARCH_PHASE_DONE,
  );
  expect(Object.values(PHASES).map(({ phase }) => phase)).toEqual(phases);
  expect(workOfPhase(SEARCH_PHASE_DONE)).toBeUndefined();
});

it("only the work of a training has a label of training metrics", () => {
  const labels = ["train", "derive", "retrain", "profile"].map(trainingOfWork);
  expect(labels).toEqual(["search", undefined, "retraining", undefined]);
});
