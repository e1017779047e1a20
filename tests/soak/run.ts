import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { workIsDone } from "../../shared/testing/bus";
import { deleteAll } from "../chaos/compare";
import { startFleet, stopFleet } from "../chaos/fleet";
import type { Followed } from "../chaos/followed";
import { System } from "../system";
import { runCourse } from "./course";
import { leftovers, levelOf, type Level } from "./levels";
import { planSoak } from "./plan";

interface SoakOptions {
  searches: number;
  seed: number;
  nats?: string | undefined;
  say: (line: string) => void;
}

/** Searches that are begun before one of them has ended. */
const LANES = 4;
/** From these searches on, every service has compiled its code and filled its caches. */
const WARM = 10;
/** The searches after the first WARM must be several times as many, or memory says nothing about growth. */
const JUDGED_FROM = 4 * WARM;

/**
 * Runs tiny searches, some at a time, that clients pause, cancel and delete while processes are restarted, and deletes them all at the end.
 * Returns what the stack held in between, and every deviation: a search that has not ended as it should, or something left behind.
 * Services are restarted in the second quarter of the searches only: the memory that is judged at the end has served half of them.
 */
export async function soak({ searches, seed, nats, say }: SoakOptions) {
  const collect = join(__dirname, "..", "fuzz", "collect.cjs");
  const fleet = await startFleet({ nats, env: { NODE_OPTIONS: `--require ${collect}` } });
  const system = await System.on(fleet);
  const warm = Math.min(WARM, Math.ceil(searches / 4));
  const middle = Math.ceil(searches / 2);
  const services = fleet.members.map(({ name }) => name);
  const plan = planSoak({
    seed,
    searches,
    restartable: (index) => (index < warm ? [] : index < middle ? [...services, "nats"] : ["nats"]),
  });
  const ids: string[] = [];
  const deviations: string[] = [];
  const levels: Level[] = [];
  const level = async (when: string) => {
    await fleet.whole();
    levels.push(await levelOf(fleet, system, when));
    say(
      `${when}: ${Object.entries(levels.at(-1)!.memory)
        .map(([name, mib]) => `${name} ${mib.toFixed(0)}`)
        .join(", ")} MiB`,
    );
  };
  try {
    await level("start");
    const live = new Set<Followed>();
    for (const [from, to] of [
      [0, warm],
      [warm, middle],
      [middle, searches],
    ] as const) {
      let next = from;
      const lane = async () => {
        while (next < to) {
          const number = ++next;
          const course = plan[number - 1]!;
          const { id, text, deviation } = await runCourse(fleet, system, course, `soak-${number}`, live);
          if (id !== undefined) ids.push(id);
          say(`search ${number}: ${text}`);
          if (deviation !== undefined) deviations.push(`search ${number}: ${deviation}`);
        }
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      await workIsDone(system.bus);
      await level(`after ${to}`);
    }
    await deleteAll(system, ids).catch((thrown: unknown) =>
      deviations.push(`after all is deleted: ${LatheError.from(thrown).message}`),
    );
    await level("all deleted");
    const grown = searches < JUDGED_FROM ? undefined : { from: levels[1]!, to: levels[3]! };
    deviations.push(...leftovers(levels[0]!, levels.at(-1)!, grown));
    return { levels, deviations };
  } finally {
    await stopFleet(system, fleet, deviations.length === 0 && levels.length === 5, say);
  }
}
