import { SearchPhase } from "../proto/lathe/v1/search";

/**
 * The phases of a search in their order, each with all of its names (docs/architecture.md#phases-of-a-search). The key names the phase in
 * the live view. `work` is the kind of its work item: the `phase` of failures and progress messages. `training` is the label `phase` of
 * training metrics and of epochs.csv.
 */
export const PHASES = {
  operators: { phase: SearchPhase.SEARCH_PHASE_PROFILING_OPERATORS, work: "profile" },
  search: { phase: SearchPhase.SEARCH_PHASE_SEARCHING, work: "train", training: "search" },
  derive: { phase: SearchPhase.SEARCH_PHASE_DERIVING, work: "derive" },
  retrain: { phase: SearchPhase.SEARCH_PHASE_RETRAINING, work: "retrain", training: "retraining" },
  profile: { phase: SearchPhase.SEARCH_PHASE_PROFILING_NETWORK, work: "profile" },
} as const;

export type PhaseName = keyof typeof PHASES;

/** The phases that train: every epoch and every progress message belongs to one of them. */
export const TRAININGS = [PHASES.search, PHASES.retrain] as const;

/** Kind of the work item that a phase waits for; undefined after the last. */
export function workOfPhase(phase: SearchPhase): string | undefined {
  return Object.values(PHASES).find((each) => each.phase === phase)?.work;
}

/** Name of the phase whose worker sends progress messages with this kind of work item as their `phase`; undefined for other kinds. */
export function phaseOfProgress(work: string): PhaseName | undefined {
  return (["operators", "search", "derive", "retrain"] as const).find((name) => PHASES[name].work === work);
}

/** The training that a kind of work item carries out; undefined where it trains nothing. */
export function trainingOfWork(work: string): (typeof TRAININGS)[number]["training"] | undefined {
  return TRAININGS.find((each) => each.work === work)?.training;
}
