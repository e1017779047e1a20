import { SearchPhase, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { enumWord } from "../../shared/spec/bounds";

export const stateName = (state: SearchState): string => enumWord(SearchState, "SEARCH_STATE_", state);
export const phaseName = (phase: SearchPhase): string => enumWord(SearchPhase, "SEARCH_PHASE_", phase);

const HEADER = ["ID", "STATE", "PHASE", "PRESET", "CREATED", "NAME", "LABELS"];

/** Searches as the lines of a table. The label "name" has a column of its own; the others are joined by commas. */
export function searchTable(searches: readonly Search[]): string[] {
  const rows = searches.map(({ id, state, phase, spec, createdAt }) => {
    const { name = "", ...labels } = spec?.labels ?? {};
    const others = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const created = createdAt?.toISOString() ?? "";
    return [id, stateName(state), phaseName(phase), spec?.preset ?? "", created, name, others.join(",")];
  });
  const lines = [HEADER, ...rows];
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const padded = (line: readonly string[]) => line.map((text, column) => text.padEnd(widths[column]!));
  return lines.map((line) => padded(line).join("  ").trimEnd());
}
