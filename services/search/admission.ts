import type { Records } from "../../shared/events/records";
import { LatheError } from "../../shared/process/errors";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { refuse } from "../../shared/space/validate";
import { branchCount, branchId } from "./branches";
import type { Place } from "./list";
import { isEnded } from "./record";

/** A refused client should wait this long: a search takes minutes at least. */
const RETRY_AFTER_MS = 30_000;

/** Bounds the searches that are open (pending, running or paused), with the branches that they still begin. */
export class Admission {
  /** Searches that this process is starting: the ids of each, with its branches. */
  private readonly starting = new Map<string, string[]>();

  constructor(
    private readonly places: Records<Place>,
    private readonly limit: number,
  ) {}

  /** INVALID_ARGUMENT (INVALID_SPEC) where a spec becomes more searches than may ever be open. */
  check(spec: SearchSpec): void {
    const asked = 1 + branchCount(spec);
    if (asked <= this.limit) return;
    const description = `has ${asked} latencies, each of which becomes a search, must have at most ${this.limit} (LATHE_MAX_SEARCHES)`;
    refuse("INVALID_SPEC", "spec", [{ field: "cost.targets", description }]);
  }

  /**
   * Runs `start` if there is room for one more search with all of its branches, else throws RESOURCE_EXHAUSTED (TOO_MANY_SEARCHES). Starts at
   * the same moment in several processes may exceed the limit by one search, with its branches, for each further process.
   */
  async admit<T>(searchId: string, spec: SearchSpec, start: () => Promise<T>): Promise<T> {
    this.check(spec);
    const asked = withBranches(searchId, branchCount(spec));
    this.starting.set(searchId, asked);
    try {
      const others = await this.open(asked);
      if (others.size + asked.length <= this.limit) return await start();
      const becomes = asked.length > 1 ? `, and this one becomes ${asked.length} by its cost.targets` : "";
      throw new LatheError(
        "RESOURCE_EXHAUSTED",
        `${others.size} searches, with their branches, are pending, running or paused, at most ${this.limit} may${becomes}: wait for one to end, or cancel one`,
        { reason: "TOO_MANY_SEARCHES", metadata: { limit: String(this.limit) }, retryAfterMs: RETRY_AFTER_MS },
      );
    } finally {
      this.starting.delete(searchId);
    }
  }

  /** Ids of the searches that are open or about to begin, and of the branches that they have still to begin, but for those of one start. */
  private async open(but: readonly string[]): Promise<Set<string>> {
    const open = new Set([...this.starting.values()].flat());
    const places = await this.places.list();
    const known = new Set(places.map(({ key }) => key));
    for (const { key, value } of places) {
      if (isEnded(value)) continue;
      open.add(key);
      // A branch that has begun counts as long as it is open itself.
      for (const id of withBranches(key, value.branches ?? 0)) if (!known.has(id)) open.add(id);
    }
    for (const id of but) open.delete(id);
    return open;
  }
}

const withBranches = (searchId: string, branches: number): string[] => [
  searchId,
  ...Array.from({ length: branches }, (_, at) => branchId(searchId, at + 1)),
];
