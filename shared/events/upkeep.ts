import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { natsFault, sleep } from "./faults";
import { provision, readStreams, settingFaults, streamSettings, type ProvisionOptions } from "./streams";

/** How often JetStream is asked whether it answers. */
const ASK_EVERY_MS = 5_000;
/** Every so many times, the streams are looked through as well. */
const LOOK_EVERY = 6;
/** Unanswered requests after which JetStream counts as off, and the time for each. */
const UNANSWERED = 3;
const ANSWER_MS = 2_000;
const AGAIN_MS = 1_000;

const OFF =
  "JetStream does not answer, though NATS does: a full or faulty disk does this to nats-server before 2.10, until it is restarted. " +
  "Free disk space, then restart NATS (by SIGKILL where it does not end)";

/**
 * Keeps the streams of an installation: looks for them at the start, after each reconnection, when a request finds none, and every 30 s, and
 * makes those again that are gone. Tells the bus which were lost, and whether JetStream answers at all.
 */
export class Upkeep {
  /** When each stream was created. A stream of another time has none of the messages. */
  private readonly created = new Map<string, string>();
  private why: string | undefined;
  private due = false;
  private waiting: AbortController | undefined;

  private constructor(
    private readonly bus: Bus,
    private readonly options: ProvisionOptions,
    private readonly signal: AbortSignal,
  ) {}

  /** Makes the streams, as `provision` does and with its errors, and keeps them until the signal aborts. */
  static async start(bus: Bus, options: ProvisionOptions, signal: AbortSignal): Promise<Upkeep> {
    const upkeep = new Upkeep(bus, options, signal);
    await upkeep.look();
    const forget = [bus.onReconnect(() => upkeep.wake()), bus.onMissing(() => upkeep.wake())];
    signal.addEventListener("abort", () => upkeep.waiting?.abort(), { once: true });
    void upkeep.run().finally(() => forget.forEach((remove) => remove()));
    return upkeep;
  }

  /** For readiness: why the streams cannot be used; undefined where they can. */
  fault(): string | undefined {
    return this.bus.room.isOff ? this.bus.room.fault() : this.why;
  }

  private wake(): void {
    this.due = true;
    this.waiting?.abort();
  }

  private async run(): Promise<void> {
    for (let round = 1; !this.signal.aborted && !this.bus.connection.isClosed(); round++) {
      this.waiting = new AbortController();
      const due = this.due && this.bus.status().connected;
      await sleep(this.why !== undefined ? AGAIN_MS : due ? 0 : ASK_EVERY_MS, this.waiting.signal);
      if (this.signal.aborted || !this.bus.status().connected) continue;
      if (!(await this.answers()) || !(this.due || this.why !== undefined || round % LOOK_EVERY === 0)) continue;
      this.due = false;
      try {
        await this.look();
        this.say(undefined);
      } catch (error) {
        // An outage is reported as such.
        if (this.bus.status().connected && !this.signal.aborted) this.say(LatheError.from(error).message);
      }
    }
  }

  private say(why: string | undefined): void {
    if (why !== undefined && why !== this.why) this.bus.logger.error(`streams cannot be used: ${why}`);
    if (why === undefined && this.why !== undefined) this.bus.logger.info("streams can be used again");
    this.why = why;
  }

  private async look(): Promise<void> {
    const wanted = streamSettings(this.options);
    let found = await readStreams(this.bus, wanted);
    const lost = [...this.created].filter(([name, at]) => found.get(name)?.created !== at).map(([name]) => name);
    for (const name of lost) this.created.delete(name);
    if (lost.length > 0) {
      const streams = lost.map((name) => this.bus.names.stream(name));
      this.bus.logger.error("NATS has lost streams and all that they held: they are made anew", { streams });
      this.bus.noteLoss(lost);
    }
    if (wanted.some((settings) => settingFaults(settings, found.get(settings.name)).length > 0)) {
      await provision(this.bus, this.options);
      found = await readStreams(this.bus, wanted);
    }
    for (const [name, info] of found) if (info) this.created.set(name, info.created);
  }

  /** Whether JetStream answers, be it with an error; tells the room. A connection that breaks meanwhile tells nothing. */
  private async answers(): Promise<boolean> {
    const { connection, room } = this.bus;
    for (let unanswered = 0; unanswered < UNANSWERED; unanswered++) {
      try {
        // Not by bus.request, which refuses while JetStream is off.
        await connection.request("$JS.API.INFO", "", { timeout: ANSWER_MS });
      } catch (thrown) {
        if (this.signal.aborted || !this.bus.status().connected) return false;
        if (natsFault(thrown, "JetStream").code === "UNAVAILABLE") continue;
      }
      room.noteAnswers();
      return true;
    }
    // The answer to the ping of the flush shows that NATS itself is well.
    const well = await Promise.race([connection.flush().then(() => true), sleep(ANSWER_MS, this.signal)]).catch(() => false);
    if (well === true && this.bus.status().connected) room.noteAnswers(OFF);
    return false;
  }
}
