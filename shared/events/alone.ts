import { randomBytes } from "node:crypto";
import { machineName } from "../process/machine";
import type { Bus } from "./bus";
import { sleep } from "./faults";
import { measuringOf, SAY_AGAIN_MS, SILENCE_MS, standingOf, type Measuring } from "./stillness";
import { measuringSubject, standingSubject } from "./subjects";

/** A service answers within this time, unless its machine is very busy. */
const ANSWERS_MS = 300;
/** A step of a large supernet takes seconds. A measurement itself says what disturbs it after this time. */
const PATIENCE_MS = 30_000;
/** Longest wait for the measurements of other workers on this machine. */
const TURN_MS = 15 * 60_000;
const LOOK_AGAIN_MS = 20;

/** Runs a measurement while the services of its machine stand still. Rejects as the measurement does, or with the signal's reason. */
export type Alone = <T>(measure: () => Promise<T>, signal: AbortSignal) => Promise<T>;

interface Asking {
  deviceClass: string;
  machine?: string;
  patienceMs?: number;
}

/**
 * Asks the services on this machine that compute to stand still during each measurement (standStill.ts), and waits until they do, at most
 * 30 s. Before it waits until no other worker measures on this machine.
 */
export function aloneOn(
  bus: Bus,
  { deviceClass, machine = machineName(), patienceMs = PATIENCE_MS }: Asking,
): { alone: Alone; stop: () => void } {
  const worker = `w-${randomBytes(6).toString("hex")}`;
  /** Processes that compute, by service. */
  const computing = new Map<string, number>();
  /** When other workers last said that they measure. */
  const others = new Map<string, number>();
  const standing = bus.connection.subscribe(standingSubject(machine), {
    callback: (error, message) => {
      if (error) return bus.logger.warn("services on this machine do not stand still: they cannot be heard", { error });
      const said = standingOf(() => message.json());
      if (said) computing.set(said.service, said.computing);
      else bus.counters.malformed++;
    },
  });
  const measuring = bus.connection.subscribe(measuringSubject(machine), {
    callback: (error, message) => {
      const said = error ? undefined : measuringOf(() => message.json());
      if (!said || said.worker === worker) return;
      if (said.over) others.delete(said.worker);
      else others.set(said.worker, performance.now());
    },
  });
  const say = (over: boolean) => {
    const said: Measuring = { worker, deviceClass, over };
    if (bus.status().connected) bus.connection.publish(measuringSubject(machine), JSON.stringify(said));
  };
  const until = async (holds: () => boolean, mostMs: number, signal: AbortSignal) => {
    const asked = performance.now();
    while (!holds() && performance.now() - asked < mostMs && !signal.aborted) await sleep(LOOK_AGAIN_MS, signal);
    signal.throwIfAborted();
  };
  const measureNow = (): string[] =>
    [...others].filter(([, heard]) => performance.now() - heard < SILENCE_MS).map(([other]) => other);

  /** Says that this worker measures, once no other does. Of two that say so at once the one with the smaller name measures first. */
  const takeTurn = async (signal: AbortSignal) => {
    for (const asked = performance.now(); ;) {
      const left = TURN_MS - (performance.now() - asked);
      await until(() => measureNow().length === 0, left, signal);
      computing.clear();
      say(false);
      await sleep(ANSWERS_MS, signal);
      if (left <= 0 || !measureNow().some((other) => other < worker)) return;
      say(true);
    }
  };
  return {
    alone: async (measure, signal) => {
      let saying: NodeJS.Timeout | undefined;
      try {
        await takeTurn(signal);
        saying = setInterval(() => say(false), SAY_AGAIN_MS);
        await until(() => [...computing.values()].every((count) => count === 0), patienceMs, signal);
        return await measure();
      } finally {
        clearInterval(saying);
        say(true);
      }
    },
    stop: () => {
      standing.unsubscribe();
      measuring.unsubscribe();
    },
  };
}
