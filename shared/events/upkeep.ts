import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { natsFault, sleep } from "./faults";
import { provision, readStreams, streamSettings, type ProvisionOptions } from "./streams";

/** How often JetStream is asked whether it answers. */
const ASK_EVERY_MS = 5_000;
/** Every so many times, the streams are looked through as well. */
const LOOK_EVERY = 6;
/** Every server with JetStream answers this itself, whoever leads the streams. */
const ASK = "$JS.API.INFO";
const ANSWER_MS = 2_000;
const AGAIN_MS = 1_000;

const OFF =
  "JetStream does not answer, though NATS does: a full disk stops that of nats-server 2.9 until a restart. " +
  "Free disk space, then restart NATS with JetStream (end it by SIGKILL where SIGTERM does not)";

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
    upkeep.why = undefined;
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
      if (this.signal.aborted || !(this.bus.status().connected || this.bus.room.isOff)) continue;
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
    // A setting that an operator has changed stays until the next start.
    const unmade = wanted.filter(({ name }) => !this.created.has(name));
    if (unmade.length > 0) {
      const names = unmade.map(({ name }) => this.bus.names.stream(name)).join(", ");
      this.why ??= `streams ${names} are missing, and are not made yet`;
      await provision(this.bus, this.options, unmade);
      found = await readStreams(this.bus, wanted);
    }
    for (const [name, info] of found) if (info) this.created.set(name, info.created);
  }

  /** Whether JetStream answers, be it with an error; tells the room. */
  private async answers(): Promise<boolean> {
    const { connection, room } = this.bus;
    try {
      // While it is off, not over the bus's own connection, which would hang with it.
      if (room.isOff) throw new LatheError("UNAVAILABLE", "JetStream is off");
      // Not by bus.request, which asks again.
      await connection.request(ASK, "", { timeout: ANSWER_MS });
    } catch (thrown) {
      if (natsFault(thrown, "JetStream").code === "UNAVAILABLE" && !(await this.answersAfresh())) return false;
    }
    room.noteAnswers();
    return true;
  }

  private async answersAfresh(): Promise<boolean> {
    try {
      for (let asked = 0; asked < 2; asked++) if (await this.bus.answersAfresh(ASK, ANSWER_MS)) return true;
    } catch {
      // NATS itself is away, which the bus reports.
      return false;
    }
    this.bus.room.noteAnswers(OFF);
    return false;
  }
}
