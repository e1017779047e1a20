import { randomBytes } from "node:crypto";
import { LatheError } from "../process/errors";
import { LatencyWorker } from "../proto/lathe/v1/latency";
import type { DeviceFigures } from "../proto/lathe/v1/result";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { Records } from "./records";
import { DEVICES_BUCKET } from "./subjects";

/** How often a worker writes its entry again, which lives for three times as long (streams.ts). */
const ANNOUNCE_EVERY_MS = 5_000;
/** Pause after an announcement that failed. */
const AGAIN_MS = 1_000;
/** After a reconnection to NATS, or where it has lost the entries, all workers that live have announced themselves within this time. */
const SETTLED_AFTER_MS = 6_000;
const LOOK_AGAIN_MS = 200;

/** The presence of a worker. */
export interface Announcement {
  /** Resolves when the entry is stored for the first time; rejects where these credentials may not store it. */
  announced: Promise<void>;
  /** Removes the entry, so that nobody waits until it lapses. */
  stop(): Promise<void>;
}

/** Announces a latency worker until it stops: at once, every five seconds, and after each reconnection or loss of the entries. */
export function announce(bus: Bus, figures: DeviceFigures): Announcement {
  const records = new Records(bus, DEVICES_BUCKET, LatencyWorker, { retryForMs: ANNOUNCE_EVERY_MS });
  const id = `w-${randomBytes(6).toString("hex")}`;
  const key = `${figures.deviceClass}.${id}`;
  const stopping = new AbortController();
  let waiting = new AbortController();
  const wake = () => waiting.abort();
  const forget = [bus.onReconnect(wake), bus.onLoss(wake)];
  let first = true;
  const announcing = async (announced: () => void, refused: (error: LatheError) => void) => {
    while (!stopping.signal.aborted) {
      waiting = new AbortController();
      let pauseMs = ANNOUNCE_EVERY_MS;
      try {
        await records.mutate(key, () => ({ id, figures }));
        first = false;
        announced();
      } catch (thrown) {
        const error = LatheError.from(thrown);
        if (first && error.reason === "NATS_FORBIDDEN") return refused(error);
        bus.logger.warn("this worker could not be announced", { deviceClass: figures.deviceClass, error });
        pauseMs = AGAIN_MS;
      }
      if (!stopping.signal.aborted) await sleep(pauseMs, waiting.signal);
    }
  };
  let ended: Promise<void> = Promise.resolve();
  const announced = new Promise<void>((resolve, reject) => {
    ended = announcing(resolve, reject);
  });
  return {
    announced,
    stop: async () => {
      stopping.abort();
      wake();
      for (const remove of forget) remove();
      await ended;
      // An entry that stays lapses by itself.
      await records.delete(key).catch((error: unknown) => bus.logger.warn("the entry of this worker stays", { error }));
    },
  };
}

/** The latency workers that are alive, as any service sees them. */
export class Workers {
  private readonly records: Records<LatencyWorker>;
  private readonly startedAt = performance.now();
  private disturbedAt = -Infinity;
  private readonly disturbed = () => {
    this.disturbedAt = performance.now();
  };

  constructor(private readonly bus: Bus) {
    this.records = new Records(bus, DEVICES_BUCKET, LatencyWorker);
    bus.onReconnect(this.disturbed);
    bus.onLoss(this.disturbed);
  }

  /** Those that are there, ordered by class and id. */
  async alive(): Promise<LatencyWorker[]> {
    try {
      const keys = await this.records.keys();
      return (await this.records.getAll(keys.sort())).map(({ value }) => value);
    } catch (error) {
      // A bucket that cannot be read cannot be written either.
      this.disturbed();
      throw error;
    }
  }

  /**
   * As `alive`, but where no worker serves the class, workers that may not have announced themselves yet are waited for: after an
   * outage, a reconnection or a loss of the entries, and where none at all is there soon after the start of this process.
   */
  async serving(deviceClass: string, signal?: AbortSignal): Promise<LatencyWorker[]> {
    for (;;) {
      const all = await this.alive();
      if (all.some(serves(deviceClass)) || this.areSettled(all)) return all;
      await sleep(LOOK_AGAIN_MS, signal);
    }
  }

  /** Whether every worker that lives is among these. */
  areSettled(found: readonly LatencyWorker[]): boolean {
    const since = found.length > 0 ? this.disturbedAt : Math.max(this.disturbedAt, this.startedAt);
    return performance.now() - since > SETTLED_AFTER_MS;
  }
}

/** Whether a worker serves a class. */
export const serves =
  (deviceClass: string) =>
  ({ figures }: LatencyWorker): boolean =>
    figures?.deviceClass === deviceClass;

/** The classes of workers, each once, in alphabetical order. */
export function classesOf(workers: readonly LatencyWorker[]): string[] {
  return [...new Set(workers.map(({ figures }) => figures?.deviceClass ?? ""))].sort();
}
