import { randomBytes } from "node:crypto";
import { children } from "../process/hold";
import { machineName } from "../process/machine";
import type { Bus } from "./bus";
import { measuringOf, SILENCE_MS, type Standing } from "./stillness";
import { measuringSubject, standingSubject } from "./subjects";

/** Longest standstill. After it the processes go on until nothing is measured, so that they are not kept from their work for ever. */
const LONGEST_MS = 15 * 60_000;

interface Standstill {
  machine?: string;
  /** Called with the seconds of each standstill. */
  stood?: (seconds: number) => void;
  silenceMs?: number;
  longestMs?: number;
}

/**
 * Holds the child processes of this service between two steps while a latency worker on the same machine measures, and tells it how many
 * still compute. The returned function ends that.
 */
export function standStill(
  bus: Bus,
  { machine = machineName(), stood = () => {}, silenceMs = SILENCE_MS, longestMs = LONGEST_MS }: Standstill = {},
): () => void {
  const service = `${bus.name}-${randomBytes(6).toString("hex")}`;
  /** Timers that end when a worker has been silent for too long. */
  const measuring = new Map<string, NodeJS.Timeout>();
  let stands: { since: number; longest: NodeJS.Timeout } | undefined;
  let hasStoodLongest = false;

  const answer = () => {
    const standing: Standing = { service, computing: children.computing };
    if (bus.status().connected) bus.connection.publish(standingSubject(machine), JSON.stringify(standing));
  };
  const goOn = () => {
    if (!stands) return;
    clearTimeout(stands.longest);
    stood((performance.now() - stands.since) / 1000);
    stands = undefined;
    children.release();
  };
  const ended = (worker: string) => {
    clearTimeout(measuring.get(worker));
    measuring.delete(worker);
    if (measuring.size > 0) return;
    hasStoodLongest = false;
    goOn();
  };
  const stand = (deviceClass: string) => {
    if (children.computing > 0)
      bus.logger.info("the processes stand still while a latency worker measures", { deviceClass });
    const longest = setTimeout(() => {
      hasStoodLongest = true;
      const fields = { deviceClass, seconds: longestMs / 1000 };
      bus.logger.warn("the processes go on, although a latency worker still measures", fields);
      goOn();
    }, longestMs);
    stands = { since: performance.now(), longest };
    children.hold(answer);
  };
  const subscription = bus.connection.subscribe(measuringSubject(machine), {
    callback: (error, message) => {
      if (error)
        return bus.logger.warn("measurements on this machine are disturbed: they cannot be followed", { error });
      const said = measuringOf(() => message.json());
      if (!said) return void bus.counters.malformed++;
      const { worker, deviceClass, over } = said;
      if (over) return ended(worker);
      clearTimeout(measuring.get(worker));
      const silent = setTimeout(() => ended(worker), silenceMs);
      measuring.set(worker, silent);
      if (!stands && !hasStoodLongest) stand(deviceClass);
      answer();
    },
  });
  return () => {
    subscription.unsubscribe();
    for (const worker of [...measuring.keys()]) ended(worker);
  };
}
