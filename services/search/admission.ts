import type { Records } from "../../shared/events/records";
import { LatheError } from "../../shared/process/errors";
import type { Place } from "./list";
import { isEnded } from "./record";

/** A refused client should wait this long: a search takes minutes at least. */
const RETRY_AFTER_MS = 30_000;

/** Bounds the searches that are open (pending, running or paused). */
export class Admission {
  /** Ids of the searches that this process is starting. */
  private readonly starting = new Set<string>();

  constructor(
    private readonly places: Records<Place>,
    private readonly limit: number,
  ) {}

  /**
   * Runs `start` if there is room for one more search, else throws RESOURCE_EXHAUSTED (TOO_MANY_SEARCHES). Starts at the same moment in
   * several processes may exceed the limit by one for each further process.
   */
  async admit<T>(searchId: string, start: () => Promise<T>): Promise<T> {
    this.starting.add(searchId);
    try {
      const open = new Set(this.starting);
      for (const { key, value } of await this.places.list()) if (!isEnded(value)) open.add(key);
      if (open.size <= this.limit) return await start();
      throw new LatheError(
        "RESOURCE_EXHAUSTED",
        `${open.size - 1} searches are pending, running or paused, at most ${this.limit} may: wait for one to end, or cancel one`,
        { reason: "TOO_MANY_SEARCHES", metadata: { limit: String(this.limit) }, retryAfterMs: RETRY_AFTER_MS },
      );
    } finally {
      this.starting.delete(searchId);
    }
  }
}
