import { rmSync } from "node:fs";
import { join } from "node:path";
import { startGuard } from "../../cli/stack/guard";
import { requireNatsServer, startNats } from "../../cli/stack/nats";
import {
  serviceProcess,
  SERVICES,
  type Addresses,
  type ServiceAddress,
  type ServiceName,
  type Stack,
} from "../../cli/stack/stack";
import { takeStateFolder } from "../../cli/stack/state";
import { childrenOf } from "../../shared/testing/processes";
import { until } from "../../shared/testing/until";
import { compiled } from "../compiled";
import { newFolder, SERVICE_ENV, type System } from "../system";
import { Kept } from "./kept";
import { Relay } from "./relay";

/** A process of a service. */
export interface Member {
  /** "supernet 2" is the second process of the supernet service. */
  name: string;
  service: ServiceName;
  kept: Kept;
  /** Between the process and NATS. */
  relay: Relay;
  address: () => ServiceAddress;
}

/** A whole stack on loopback, with several processes of some services. Whatever dies is started again. */
export interface Fleet extends Stack {
  readonly nats: Kept;
  /** A member by its name, or "nats". */
  process(name: string): Kept;
  readonly members: readonly Member[];
  /** Folders with the logs of each process. */
  readonly folders: readonly string[];
  /** Resolves when every process serves, and says that it is ready. */
  whole(): Promise<void>;
  /** Process ids of the children that train, derive or measure for a process, or for all of a service. */
  workersOf(member: Member): number[];
  workers(service: ServiceName): number[];
}

interface FleetOptions {
  /** nats-server; the one on PATH by default. */
  nats?: string | undefined;
  /** Processes of a service; 1 by default. */
  replicas?: Readonly<Partial<Record<ServiceName, number>>>;
  env?: Readonly<Record<string, string>>;
}

/** After this time without a sign of life, a work item goes to another worker. */
export const LEASE_MS = 3000;
const GRACE_MS = 15_000;
const workersOf = ({ kept }: Member) => childrenOf(kept.child.pid);

export async function startFleet({ nats: binary, replicas = {}, env = {} }: FleetOptions): Promise<Fleet> {
  const server = binary ?? requireNatsServer(() => {});
  const guard = startGuard();
  // One folder per process: files of a state folder are named by service.
  const folders = [takeStateFolder(newFolder())];
  const [first] = folders as [(typeof folders)[0]];
  let port: number | undefined;
  let natsUrl = "";
  const nats = await Kept.start(async () => {
    const log = first.path("logs", "nats.log");
    const started = await startNats({ binary: server, folder: first.path("nats"), log, guard, port });
    ({ port, url: natsUrl } = started);
    return started.child;
  });
  const options = {
    env: { ...SERVICE_ENV, LATHE_LEASE: `${LEASE_MS}ms`, ...env },
    services: join(compiled(), "services"),
  };
  const starts = SERVICES.flatMap((service) =>
    Array.from({ length: replicas[service] ?? 1 }, async (_, index): Promise<Member> => {
      const state = index === 0 ? first : takeStateFolder(newFolder());
      if (index > 0) folders.push(state);
      const relay = await Relay.start(port!);
      const { start, address } = serviceProcess(service, relay.url, state, guard, options);
      return { name: `${service} ${index + 1}`, service, kept: await Kept.start(start), relay, address };
    }),
  );
  const members = await Promise.all(starts);
  const of = (service: ServiceName) => members.find((member) => member.service === service)!;
  const isReady = async ({ kept, address }: Member) =>
    kept.up && (await fetch(`http://${address().http}/readyz`).catch(() => undefined))?.status === 200;
  return {
    nats,
    members,
    process: (name) => (name === "nats" ? nats : members.find((member) => member.name === name)!.kept),
    folder: first.folder,
    folders: folders.map(({ folder }) => folder),
    natsUrl,
    addresses: () => Object.fromEntries(SERVICES.map((name) => [name, of(name).address()])) as Addresses,
    pids: () => [nats, ...members.map(({ kept }) => kept)].map(({ child }) => child.pid),
    logFile: (service) => of(service).kept.child.log,
    kill: (target) => (target === "nats" ? nats : of(target).kept).child.kill("SIGKILL"),
    broken: new Promise(() => {}),
    whole: async () => {
      await until(async () => nats.up && (await Promise.all(members.map(isReady))).every(Boolean));
    },
    workersOf,
    workers: (service) => members.filter((member) => member.service === service).flatMap(workersOf),
    async stop() {
      await Promise.all(members.map(({ kept }) => kept.stop(GRACE_MS)));
      await Promise.all(members.map(({ relay }) => relay.stop()));
      await nats.stop(GRACE_MS);
      await guard.stop();
    },
  };
}

/** Stops a fleet. Its folders are kept, and named, where something was wrong. */
export async function stopFleet(
  system: System,
  fleet: Fleet,
  sound: boolean,
  say: (line: string) => void,
): Promise<void> {
  await system.stop({ keepFolder: true });
  if (sound) for (const folder of fleet.folders) rmSync(folder, { recursive: true, force: true });
  else say(`the logs of the services are in ${fleet.folders.join(", ")}`);
}
