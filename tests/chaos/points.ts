import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SERVICES, type ServiceName } from "../../cli/stack/stack";
import { createRandom } from "../../shared/engine/random";
import { until } from "../../shared/testing/until";
import { smallSpec } from "../specs";
import { newFolder, System } from "../system";
import { deleteAll, differences, endingOf, type Ending } from "./compare";
import { startFleet, stopFleet, type Fleet } from "./fleet";
import { patiently } from "./patiently";

const SIDES = ["before", "after"] as const;

/** A process dies before or after a durable write: at its `from`-th attempt, or the next that the limit of deaths allows. */
interface Point {
  service: ServiceName;
  write: string;
  from: number;
  side: (typeof SIDES)[number];
}

interface Death extends Point {
  /** Number of the search in which the process died. */
  search: number;
  /** Whether that search ended as the undisturbed one. */
  equal: boolean;
}

interface PointsOptions {
  seed: number;
  /** Searches that may be run to reach all points. */
  searches: number;
  nats?: string | undefined;
  say: (line: string) => void;
}

/**
 * Kills a service before and after each kind of durable write that it makes for a search, at an occurrence of the seed's choice. One search
 * dies of many points in turn; searches follow each other until no point is left. Returns the deaths, the points that no search has
 * reached, and every deviation.
 */
export async function killPoints({ seed, searches, nats, say }: PointsOptions) {
  const folder = newFolder();
  const preload = join(__dirname, "dieAtWrite.cjs");
  writePoints(folder, []);
  const fleet = await startFleet({ nats, env: { NODE_OPTIONS: `--require ${preload}`, LATHE_TEST_POINTS: folder } });
  const system = await System.on(fleet);
  const deaths: Death[] = [];
  const deviations: string[] = [];
  let sound = false;
  try {
    const ids: string[] = [];
    const twin = await searchUnder(system, ids);
    let left = pointsOf(folder, seed);
    say(
      `${left.length} points: the undisturbed search (${twin.state}) makes ${left.length / 2} kinds of durable writes`,
    );
    for (let search = 1; search <= searches && left.length > 0; search++) {
      await arm(fleet, folder, left);
      const found = differences(twin, await searchUnder(system, ids));
      await fleet.whole();
      const died = SERVICES.flatMap((service) => deathsOf(folder, service));
      const hit = left.filter((point) => died.some((one) => isSame(one, point)));
      left = left.filter((point) => !hit.includes(point));
      deaths.push(...hit.map((point) => ({ ...point, search, equal: found.length === 0 })));
      deviations.push(...found.map((text) => `search ${search} (${ids.at(-1)}): ${text}`));
      say(`search ${search}: ${hit.length} deaths, ${found.length === 0 ? "equal to its twin" : found.join("; ")}`);
      if (hit.length === 0) break;
    }
    await arm(fleet, folder, []);
    await deleteAll(system, ids);
    sound = deviations.length === 0;
    return { deaths, left, deviations };
  } finally {
    await stopFleet(system, fleet, sound, say);
    rmSync(folder, { recursive: true });
  }
}

/** One line for each point: what died, where, and whether the search ended as its twin. */
export function pointsTable(deaths: readonly Death[]): string {
  const rows = deaths.map(({ service, write, from, side, search, equal }) =>
    [service.padEnd(14), side.padEnd(6), write.padEnd(34), `attempt ${from}`.padEnd(10), `search ${search}`].concat(
      equal ? "equal" : "DIFFERS",
    ),
  );
  return rows.map((row) => row.join("  ")).join("\n");
}

/** Runs a search by a request that is repeated until it is answered, as a client does. */
async function searchUnder(system: System, ids: string[]): Promise<Ending> {
  const requestId = `points-${ids.length + 1}`;
  const { search } = await patiently(() => system.search.api.startSearch({ spec: smallSpec(), requestId }));
  ids.push(search!.id);
  return endingOf(system, await patiently(() => system.ended(search!.id)));
}

/** Gives every process new points and an empty log: it reads them when it starts. */
async function arm(fleet: Fleet, folder: string, points: readonly Point[]): Promise<void> {
  for (const { kept } of fleet.members) kept.child.kill("SIGKILL");
  await until(() => fleet.members.every(({ kept }) => !kept.up || !kept.child.running));
  writePoints(folder, points);
  await fleet.whole();
}

function writePoints(folder: string, points: readonly Point[]): void {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  writeFileSync(join(folder, "points.json"), JSON.stringify(points));
}

/** The lines "<what> <write>" of a service's log. */
function linesOf(folder: string, service: ServiceName): (readonly [what: string, write: string])[] {
  const log = join(folder, `${service}.log`);
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return lines.map((line) => line.split("\t") as [string, string]);
}

/** Both sides of each kind of write that the undisturbed search has made. */
function pointsOf(folder: string, seed: number): Point[] {
  const random = createRandom(seed, "points");
  return SERVICES.flatMap((service) => {
    const counts = new Map<string, number>();
    for (const [what, write] of linesOf(folder, service))
      if (what === "done") counts.set(write, (counts.get(write) ?? 0) + 1);
    return [...counts].flatMap(([write, count]) =>
      SIDES.map((side): Point => ({ service, write, from: 1 + random.integer(count), side })),
    );
  });
}

const deathsOf = (folder: string, service: ServiceName) =>
  linesOf(folder, service).flatMap(([what, write]) =>
    SIDES.filter((side) => what === `death ${side}`).map((side) => ({ service, write, side })),
  );

const isSame = (one: Omit<Point, "from">, point: Point) =>
  one.service === point.service && one.write === point.write && one.side === point.side;
