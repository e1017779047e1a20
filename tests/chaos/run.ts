import { createRandom } from "../../shared/engine/random";
import { LatheError } from "../../shared/process/errors";
import { AlgorithmKind, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { nameOf } from "../outcome";
import { smallSpec } from "../specs";
import { System } from "../system";
import { deleteAll, differences, endingOf, undisturbed } from "./compare";
import { startFleet, stopFleet } from "./fleet";
import { Followed } from "./followed";
import { inflict, spared } from "./inflict";
import { harmText, planFaults, type Fault } from "./plan";

interface ChaosOptions {
  searches: number;
  kills: number;
  seed: number;
  nats?: string | undefined;
  say: (line: string) => void;
}

/** Specs of different algorithms and seeds, one for each search. */
function specs(count: number, seed: number): SearchSpec[] {
  const random = createRandom(seed, "specs");
  const drawn = { cost: { target: 0.8 }, sampling: { candidates: 2, evaluations: 4, population: 2, tournament: 2 } };
  const kinds = [
    { algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_SSR } },
    { algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_EVOLUTION }, ...drawn },
    { algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_DARTS } },
  ];
  return Array.from({ length: count }, (_, index) =>
    smallSpec({ ...kinds[index % kinds.length], seed: random.integer(1_000_000) }),
  );
}

/** Runs searches beside each other while faults of a seeded plan hit their services. Returns every deviation; empty if all is well. */
export async function chaos({ searches, kills, seed, nats, say }: ChaosOptions): Promise<string[]> {
  const fleet = await startFleet({ nats, replicas: { search: 2, supernet: 2 } });
  const system = await System.on(fleet);
  const deviations: string[] = [];
  const begun: Followed[] = [];
  let sound = false;
  try {
    const all = specs(searches, seed);
    const twins = await Promise.all(all.map((spec) => undisturbed(system, spec)));
    twins.forEach(({ ending, history }, index) => say(`twin ${index + 1}: ${ending.state}, ${history.length} events`));
    const events = twins.map(({ history }) => history.length);
    const processes = fleet.members;
    const plan = planFaults({ seed, faults: kills, events, processes });
    const where = ({ search, event, underWay }: Fault) =>
      `search ${search + 1} ${underWay ? "at work " : ""}after ${nameOf(twins[search]!.history[event]!)}`;
    plan.forEach((fault, index) => say(`plan ${index + 1}: ${where(fault)}: ${harmText(fault.harm)}`));

    for (const spec of all) begun.push(new Followed(system, await system.begin(spec)));
    // Faults do not wait for each other: one process may stand still while another dies.
    const strike = async (fault: Fault, index: number) => {
      const search = begun[fault.search]!;
      await search.reaches(fault.event);
      if (fault.underWay) await search.underWay(fleet);
      await spared(fleet, fault.harm, begun);
      const met = search.newest;
      const done = await inflict(fault.harm, fleet, system, search);
      say(`fault ${index + 1}: ${where(fault)}, in fact ${met}: ${harmText(fault.harm)} (${done})`);
    };
    await Promise.all([...plan.map(strike), ...begun.map((search) => search.ended())]);
    await fleet.whole();
    for (const [index, search] of begun.entries()) {
      const record = await system.ended(search.id);
      const found = differences(twins[index]!.ending, await endingOf(system, record, search.foreign));
      say(`search ${index + 1} (${search.id}): ${found.length === 0 ? "equal to its twin" : found.join("; ")}`);
      deviations.push(...found.map((text) => `search ${index + 1} (${search.id}): ${text}`));
    }
    const ids = [...twins, ...begun].map(({ id }) => id);
    await deleteAll(system, ids).catch((thrown: unknown) =>
      deviations.push(`after all is deleted: ${LatheError.from(thrown).message}`),
    );
    await fleet.whole();
    say(
      `${fleet.members.reduce((sum, { kept }) => sum + kept.deaths, fleet.nats.deaths)} processes were started again`,
    );
    sound = deviations.length === 0;
  } finally {
    await Promise.all(begun.map((search) => search.stop()));
    await stopFleet(system, fleet, sound, say);
  }
  return deviations;
}
