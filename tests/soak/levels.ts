import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { EMPTIED } from "../chaos/compare";
import type { Fleet } from "../chaos/fleet";
import { GROWTH, residentMiB } from "../fuzz/memory";
import { table } from "../fuzz/report";
import type { System } from "../system";

/** What a stack holds at one moment, while none of its searches runs. */
export interface Level {
  when: string;
  /** Resident MiB by process. */
  memory: Record<string, number>;
  /** MiB of files in the store of nats-server. */
  store: number;
  /** Messages by stream. Buckets are streams. */
  messages: Record<string, number>;
}

const NATS = "nats";
/** Time between the collection of garbage and the sample of memory. */
const QUIET_MS = 1000;
/** An empty stream keeps its settings and the state of its consumers: kilobytes. */
const STORE_GROWTH_MIB = 1;

export async function levelOf(fleet: Fleet, system: System, when: string): Promise<Level> {
  // Each service loads collect.cjs.
  for (const { kept } of fleet.members) process.kill(kept.child.pid, "SIGUSR2");
  await pause(QUIET_MS);
  const services = fleet.members.map(({ name, kept }) => [name, residentMiB(kept.child.pid)] as const);
  const messages = await Promise.all(
    EMPTIED.map(async (name) => [name, (await system.stream(name)).messages] as const),
  );
  return {
    when,
    memory: Object.fromEntries([...services, [NATS, residentMiB(fleet.nats.child.pid)]]),
    store: bytesBelow(join(fleet.folder, "nats")) / 2 ** 20,
    messages: Object.fromEntries(messages),
  };
}

/**
 * What the stack holds at the end and should not: messages, files, and memory of services beyond that of `grown.from`. GROWTH is some 17 MiB for a
 * service. Two samples of one that holds the same differ by up to 5 MiB; 100 kB that each of 200 searches leaves are 20 MiB.
 */
export function leftovers(start: Level, end: Level, grown?: { from: Level; to: Level }): string[] {
  const found = Object.entries(end.messages).flatMap(([name, messages]) =>
    messages === start.messages[name] ? [] : [`${name} has ${messages} messages, at the start ${start.messages[name]}`],
  );
  if (end.store > start.store + STORE_GROWTH_MIB)
    found.push(
      `the store has ${end.store.toFixed(1)} MiB, at the start ${start.store.toFixed(1)}, at most ${STORE_GROWTH_MIB} more may be`,
    );
  for (const [name, from] of Object.entries(grown?.from.memory ?? {})) {
    // nats-server caches what it stores, and gives the room back some time after a deletion.
    if (name === NATS) continue;
    const to = grown!.to.memory[name]!;
    const bound = from * (1 + GROWTH.share) + GROWTH.mib;
    if (to > bound)
      found.push(
        `${name} has ${to.toFixed(0)} MiB ${grown!.to.when}, ${from.toFixed(0)} ${grown!.from.when}, at most ${bound.toFixed(0)} may be`,
      );
  }
  return found;
}

/** A row for each process, the store and each stream, a column for each level. */
export function levelsTable(levels: readonly Level[]): string {
  const row = (name: string, value: (level: Level) => string) => [name, ...levels.map(value)];
  const names = (of: (level: Level) => Record<string, number>) => Object.keys(of(levels[0]!));
  return table(
    ["", ...levels.map(({ when }) => when)],
    [
      ...names(({ memory }) => memory).map((name) => row(`${name}, MiB`, ({ memory }) => memory[name]!.toFixed(0))),
      row("store, MiB", ({ store }) => store.toFixed(1)),
      ...names(({ messages }) => messages).map((name) =>
        row(`${name}, messages`, ({ messages }) => String(messages[name])),
      ),
    ],
  ).join("\n");
}

/** Bytes of the files below a folder. A file that is removed meanwhile does not count. */
function bytesBelow(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce(
    (sum, { parentPath, name }) => sum + (statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}
