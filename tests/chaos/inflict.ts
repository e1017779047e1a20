import { setTimeout as pause } from "node:timers/promises";
import type { EventName } from "../../shared/events/catalog";
import { api as jetstream, readMessage, store } from "../../shared/events/jetstream";
import { EVENTS_STREAM } from "../../shared/events/subjects";
import { pullOne } from "../../shared/events/pull";
import { patience, until } from "../../shared/testing/until";
import type { System } from "../system";
import { LEASE_MS, type Fleet, type Member } from "./fleet";
import type { Followed } from "./followed";
import type { Harm } from "./plan";

/** Events that a test of repetitions may store again: those by which services act. */
const REPEATED: readonly EventName[] = [
  ...(["epoch.completed", "space.kept", "space.shrunk", "supernet.converged", "architecture.derived"] as const),
  ...(["retraining.epoch.completed", "network.trained"] as const),
];

/** Attempts of a work item that faults may cost without progress in between. The third ends its search. */
const MAX_STRIKES = 2;

/** Waits until the process serves and no search would lose too many attempts by the harm; notes the attempt that each loses. */
export async function spared(fleet: Fleet, harm: Harm, searches: readonly Followed[]): Promise<void> {
  const hit = await until(
    () => ("process" in harm && !fleet.process(harm.process).up ? undefined : struck(fleet, harm, searches)),
    (found) => found?.every((search) => search.strikes < MAX_STRIKES) ?? false,
  );
  for (const search of hit!) search.strikes++;
}

/** The searches whose work item the harm may cost an attempt. */
function struck(fleet: Fleet, harm: Harm, searches: readonly Followed[]): Followed[] {
  if (!("process" in harm) || harm.do === "cut") return [];
  if (harm.do === "kill" && harm.signal === "SIGTERM") return [];
  if ((harm.do === "stop" || harm.do === "hold") && harm.leases < 1) return [];
  const service = fleet.members.find(({ name }) => name === harm.process)?.service;
  return searches.filter(({ at, isOver }) => !isOver && at === service);
}

/** Does the harm. Resolves, with what was done, when its cause has passed; what it broke may still be down. */
export async function inflict(harm: Harm, fleet: Fleet, system: System, search: Followed): Promise<string> {
  switch (harm.do) {
    case "kill": {
      const { child } = fleet.process(harm.process);
      child.kill(harm.signal);
      await child.exited;
      return `pid ${child.pid}`;
    }
    case "kill worker": {
      const member = memberOf(fleet, harm.process);
      // There may be no work for it any more.
      const [pid] = await until(
        () => fleet.workersOf(member),
        (pids) => pids.length > 0 || search.isOver,
      );
      if (pid === undefined) return "it had none";
      signal(pid, "SIGKILL");
      return `pid ${pid}`;
    }
    case "stop": {
      const { pid } = fleet.process(harm.process).child;
      signal(-pid, "SIGSTOP");
      await pause(harm.leases * LEASE_MS);
      signal(-pid, "SIGCONT");
      return `pid ${pid}`;
    }
    case "hold": {
      const { relay } = memberOf(fleet, harm.process);
      relay.hold();
      await pause(harm.leases * LEASE_MS);
      relay.release();
      return "released";
    }
    case "cut":
      memberOf(fleet, harm.process).relay.cut();
      return "cut";
    case "repeat":
      return repeat(harm.withId, system, search);
    case "give back": {
      const settings = { stream: EVENTS_STREAM, durable: harm.durable, filter: "", ackWaitMs: 0, maxAckPending: 0 };
      // NATS ends the pull where it is stopped.
      const pulled = await pullOne(system.bus, settings, patience()).catch(() => undefined);
      pulled?.nak(200);
      return pulled ? pulled.where : "no event came";
    }
    case "forget":
      await jetstream(system.bus, { what: harm.durable, retryForMs: 60_000 }, ({ consumers }) =>
        consumers.delete(EVENTS_STREAM, harm.durable),
      ).catch(() => undefined);
      return "deleted";
  }
}

/** Stores the newest event of a search again. A message that NATS does not recognise is foreign to the search. */
async function repeat(withId: boolean, { bus }: System, search: Followed): Promise<string> {
  const newest = search.events.filter(({ event }) => REPEATED.includes(event.type)).at(-1);
  if (!newest) return "none yet";
  const what = "an event stored again";
  const message = await readMessage(bus, EVENTS_STREAM, { seq: newest.sequence }, { what, retryForMs: 60_000 });
  if (!message) throw new Error(`event ${newest.sequence} of search ${search.id} is gone`);
  const msgId = withId ? message.id : `${message.id}-again-${Date.now()}`;
  const { sequence, duplicate } = await store(bus, message.subject, message.data, { what, msgId, retryForMs: 60_000 });
  if (withId !== duplicate)
    throw new Error(`event ${newest.sequence} stored again is ${duplicate ? "" : "no "}duplicate`);
  if (!duplicate) search.foreign.add(sequence);
  return `${newest.event.type}#${newest.sequence}`;
}

/** A process that another fault has killed needs no signal. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

const memberOf = (fleet: Fleet, name: string): Member => fleet.members.find((member) => member.name === name)!;
