import { createRandom, type Random } from "../../shared/engine/random";
import type { ServiceName } from "../../cli/stack/stack";
import { DURABLES } from "../../shared/events/subjects";

/** A disturbance of the stack. Processes are named as members of the fleet. */
export type Harm =
  | { do: "kill"; process: string; signal: "SIGKILL" | "SIGTERM" }
  /** A child of the process that trains, derives or measures. */
  | { do: "kill worker"; process: string }
  /** The process and its children stand still past their lease, and go on: two owners of one work item. */
  | { do: "stop"; process: string; leases: number }
  /** The messages between the process and NATS are delayed: past the lease, or for part of it. */
  | { do: "hold"; process: string; leases: number }
  /** The connection of the process to NATS breaks. */
  | { do: "cut"; process: string }
  /** The newest event of the search is stored again, with its message id or without one. */
  | { do: "repeat"; withId: boolean }
  /** The next event is taken from a consumer and given back. */
  | { do: "give back"; durable: string }
  /** The consumer is deleted: every event that is stored is delivered again. */
  | { do: "forget"; durable: string };

/** A fault of the plan. */
export interface Fault {
  /** Index of the search whose state it waits for. */
  search: number;
  /** Index of the event of the undisturbed search that must be stored. */
  event: number;
  /** Whether it also waits until the work that follows the event is under way. */
  underWay: boolean;
  harm: Harm;
}

interface PlanOptions {
  seed: number;
  faults: number;
  /** Number of events of each undisturbed search. */
  events: readonly number[];
  processes: readonly { name: string; service: ServiceName }[];
}

const WORKERS: readonly ServiceName[] = ["supernet", "discretization", "latency"];

/** The faults of a seed, by search and in the order of its events. Each search gets its share. */
export function planFaults({ seed, faults, events, processes }: PlanOptions): Fault[] {
  const random = createRandom(seed, "chaos");
  const planned = Array.from({ length: faults }, (_, index): Fault => {
    const search = index % events.length;
    // Not after the last two, network.profiled and search.succeeded: little happens after them.
    const event = random.integer(events[search]! - 2);
    return { search, event, underWay: random.next() < 0.5, harm: drawHarm(random, processes) };
  });
  return planned.sort((a, b) => a.search - b.search || a.event - b.event || Number(a.underWay) - Number(b.underWay));
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random.integer(from.length)]!;

function drawHarm(random: Random, processes: PlanOptions["processes"]): Harm {
  const some = () => pick(random, processes).name;
  const worker = () =>
    pick(
      random,
      processes.filter(({ service }) => WORKERS.includes(service)),
    ).name;
  const durable = () => pick(random, Object.values(DURABLES));
  const draws: readonly [share: number, draw: () => Harm][] = [
    [6, () => ({ do: "kill", process: some(), signal: "SIGKILL" })],
    [3, () => ({ do: "kill", process: some(), signal: "SIGTERM" })],
    [4, () => ({ do: "kill worker", process: worker() })],
    [2, () => ({ do: "kill", process: "nats", signal: "SIGKILL" })],
    [1, () => ({ do: "kill", process: "nats", signal: "SIGTERM" })],
    [3, () => ({ do: "stop", process: worker(), leases: 1.5 })],
    [1, () => ({ do: "stop", process: "nats", leases: 0.5 })],
    [1, () => ({ do: "hold", process: some(), leases: 0.3 })],
    [2, () => ({ do: "hold", process: some(), leases: 1.5 })],
    [1, () => ({ do: "cut", process: some() })],
    [2, () => ({ do: "repeat", withId: random.next() < 0.5 })],
    [2, () => ({ do: "give back", durable: durable() })],
    [1, () => ({ do: "forget", durable: durable() })],
  ];
  let at = random.integer(draws.reduce((sum, [share]) => sum + share, 0));
  for (const [share, draw] of draws) {
    at -= share;
    if (at < 0) return draw();
  }
  throw new Error("no harm drawn");
}

/** "SIGKILL supernet 2", for the plan that is printed. */
export function harmText(harm: Harm): string {
  switch (harm.do) {
    case "kill":
      return `${harm.signal} ${harm.process}`;
    case "kill worker":
      return `SIGKILL worker of ${harm.process}`;
    case "stop":
      return `SIGSTOP ${harm.process} for ${harm.leases} leases`;
    case "hold":
      return `messages of ${harm.process} delayed by ${harm.leases} leases`;
    case "cut":
      return `connection of ${harm.process} to NATS broken`;
    case "repeat":
      return `newest event stored again ${harm.withId ? "with its id" : "without its id"}`;
    case "give back":
      return `next event of ${harm.durable} given back`;
    case "forget":
      return `consumer ${harm.durable} deleted`;
  }
}
