import { createRandom, type Random } from "../../shared/engine/random";
import { BudgetPolicy, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import type { Harm } from "../chaos/plan";
import { smallSpec } from "../specs";

/** What a client does with a search. One that fails on purpose stops undecided at the end of its epochs. */
type Act = "leave" | "pause" | "cancel" | "delete" | "delete at its end" | "fail";

/** A search of a soak, with what happens in its course. */
export interface Course {
  spec: SearchSpec;
  act: Act;
  /** The act follows the search's event of this index. */
  event: number;
  /** A process is started again after the event of this index. */
  restart?: { event: number; harm: Extract<Harm, { do: "kill" }> };
}

interface PlanOptions {
  seed: number;
  searches: number;
  /** Processes that may be restarted during a search, by its index. */
  restartable: (index: number) => readonly string[];
}

const SHARES: readonly [share: number, act: Act][] = [
  [8, "leave"],
  [4, "pause"],
  [3, "cancel"],
  [2, "delete"],
  [2, "delete at its end"],
  [1, "fail"],
];
/** Share of the searches during which a process is restarted. */
const RESTARTS = 0.15;
/** An undisturbed search has some twenty events. Later acts would meet searches that have ended. */
const EVENTS = 18;

const failing = (seed: number) =>
  smallSpec({
    seed,
    training: { epochs: 2, batchSize: 4, warmupEpochs: 1, alphaLearningRate: 1e-4 },
    shrinking: { firstEpoch: 2, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_FAIL },
  });

/** The searches of a seed. */
export function planSoak({ seed, searches, restartable }: PlanOptions): Course[] {
  const random = createRandom(seed, "soak");
  return Array.from({ length: searches }, (_, index): Course => {
    const act = draw(random);
    const specSeed = random.integer(1_000_000);
    const spec = act === "fail" ? failing(specSeed) : smallSpec({ seed: specSeed });
    const course = { spec, act, event: random.integer(EVENTS) };
    // Drawn for each search, so that the acts of a seed do not depend on the processes.
    const [restarts, event, which, signal] = [random.next(), random.integer(EVENTS), random.next(), random.next()];
    const processes = restartable(index);
    const process = processes[Math.floor(which * processes.length)];
    if (restarts >= RESTARTS || process === undefined) return course;
    const harm = { do: "kill", process, signal: signal < 0.5 ? "SIGKILL" : "SIGTERM" } as const;
    return { ...course, restart: { event, harm } };
  });
}

function draw(random: Random): Act {
  let at = random.integer(SHARES.reduce((sum, [share]) => sum + share, 0));
  for (const [share, act] of SHARES) {
    at -= share;
    if (at < 0) return act;
  }
  throw new Error("no act drawn");
}
