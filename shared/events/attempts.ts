import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import type { JsonCodec } from "./catalog";
import { backoff } from "./consumer";
import { sleep } from "./faults";
import { Records } from "./records";
import { HANDBACKS_BUCKET } from "./subjects";

/** The record of the attempts of a work item. */
interface Noted {
  /** Ids of the attempts that have begun since the newest progress, without those that were only interrupted. */
  begun: readonly string[];
  /** How often the item has been given back to wait since the newest progress. */
  waits: number;
  /** The newest progress that has been noted. */
  progress: number;
}

/** The attempts of an item since its newest progress, the one that has just begun included. */
interface Charge {
  attempts: number;
  waits: number;
  progress: number;
}

interface Item {
  id: string;
  /** How often the server has delivered the item. */
  deliveries: number;
  /** The progress of the item where it is newer than `before`; undefined where it is not, or is not known. */
  progressSince: (before: number) => Promise<number | undefined>;
}

/** How often a note is tried before the item goes back to the queue: for some 6 min, with a delay of at most 30 s. */
const MAX_TRIES = 16;
const NONE: Noted = { begun: [], waits: 0, progress: 0 };
const isCount = (value: unknown) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const codec: JsonCodec<Noted> = {
  toJSON: (noted) => noted,
  fromJSON: (json) => {
    // Earlier versions noted no attempts that had begun.
    const { begun = [], waits = 0, progress = -1 } = json as Partial<Noted>;
    if (!Array.isArray(begun) || !begun.every((id) => typeof id === "string")) throw new Error("begun must be ids");
    if (!isCount(waits) || !isCount(progress)) throw new Error("waits and progress must be counts");
    return { begun, waits, progress };
  },
};

/**
 * Counts the attempts of work items that have begun and ended in no progress. The server's count of deliveries is no measure of them: it
 * includes deliveries that reached nobody, and those that a busy or stopping worker gave back.
 */
export class Attempts {
  private readonly records: Records<Noted>;

  constructor(
    private readonly bus: Bus,
    /** No more attempts than this and one are told apart. */
    private readonly max: number,
    private readonly backoffMs: number,
  ) {
    this.records = new Records(bus, HANDBACKS_BUCKET, codec);
  }

  /**
   * Notes that an attempt begins, before the item can do its worker any harm. Undefined where that cannot be noted, or `signal` aborts
   * before: nothing has begun then.
   */
  async begin(item: Item, attempt: string, signal: AbortSignal): Promise<Charge | undefined> {
    let altered: Noted | undefined;
    return this.persist(signal, async () => {
      try {
        const noted = await this.records.mutate(keyOf(item.id), async (known = altered) => {
          const made = known && (await item.progressSince(known.progress));
          const { begun, ...rest } = made === undefined ? (known ?? NONE) : { ...NONE, progress: made };
          const others = begun.filter((other) => other !== attempt);
          return { begun: [...others, attempt].slice(-1 - this.max), ...rest };
        });
        if (!noted) return undefined;
        const { begun, ...rest } = noted.value;
        return { attempts: begun.length, ...rest };
      } catch (thrown) {
        const error = LatheError.from(thrown);
        this.bus.logger.warn("a work item waits: its attempt cannot be noted", { work: item.id, error });
        if (error.reason !== "RECORD_MALFORMED") return undefined;
        // The server's count is the only one that is left, and bounds the attempts of an item whose record is altered each time.
        altered = { ...NONE, begun: Array.from({ length: item.deliveries - 1 }, (_, at) => `delivery ${at + 1}`) };
        await this.records.delete(keyOf(item.id)).catch(() => {});
        return undefined;
      }
    });
  }

  /** Takes an attempt back that was only interrupted, or is to wait (`waits` 1). Returns whether that could be noted. */
  async takeBack(id: string, attempt: string, waits: 0 | 1 = 0): Promise<boolean> {
    try {
      await this.records.mutate(keyOf(id), (known) =>
        known?.begun.includes(attempt)
          ? { ...known, begun: known.begun.filter((other) => other !== attempt), waits: known.waits + waits }
          : undefined,
      );
      return true;
    } catch (error) {
      this.bus.logger.warn("an attempt counts as failed although its worker was only interrupted", { work: id, error });
      return false;
    }
  }

  /** As takeBack, for as long as an outage may last: nothing can be pulled meanwhile. */
  async takeBackPatiently(id: string, attempt: string, signal: AbortSignal): Promise<void> {
    await this.persist(signal, async () => (await this.takeBack(id, attempt)) || undefined);
  }

  /** Forgets an item that has ended. */
  async forget(id: string): Promise<void> {
    await this.records.delete(keyOf(id));
  }

  /** Calls `note` until it returns something, at least once. */
  private async persist<T>(signal: AbortSignal, note: () => Promise<T | undefined>): Promise<T | undefined> {
    for (let tries = 1; ; tries++) {
      const noted = await note();
      if (noted !== undefined || signal.aborted || tries === MAX_TRIES) return noted;
      await sleep(backoff(this.backoffMs, tries), signal);
      if (signal.aborted) return undefined;
    }
  }
}

/** ":" is not allowed in a record's key. */
const keyOf = (id: string) => id.replaceAll(":", "/");
