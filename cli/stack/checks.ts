import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import type { CheckReport } from "../../shared/process/readiness";

/** A failing check of a service, as its /readyz reports it. */
interface Fault {
  service: string;
  name: string;
  why: string;
}

interface ChecksOptions {
  /** The current HTTP address (host:port) of each service. */
  addresses: () => Readonly<Record<string, { http: string }>>;
  say: (line: string) => void;
  /** Called once, when the storage of NATS has been full for longer than `storagePatienceMs`. */
  onStorageFull: (error: LatheError) => void;
  /** In milliseconds; without it, the stack waits for free storage without limit. */
  storagePatienceMs?: number | undefined;
  signal: AbortSignal;
  /** Time between two polls in milliseconds; 2000 unless given. */
  pollMs?: number;
}

/** The checks of a service. Both 200 and 503 (a check fails) carry them; rejects if no answer comes within `patienceMs`. */
export async function readyChecks(http: string, patienceMs: number): Promise<CheckReport[]> {
  const answer = await fetch(`http://${http}/readyz`, { signal: AbortSignal.timeout(patienceMs) });
  if (!answer.ok && answer.status !== 503) throw new Error(`/readyz answers ${answer.status}`);
  return ((await answer.json()) as { checks: CheckReport[] }).checks;
}

async function faultsOf(service: string, http: string): Promise<Fault[]> {
  try {
    const checks = await readyChecks(http, 1_500);
    return checks.filter(({ ok }) => !ok).map(({ name, why }) => ({ service, name, why }));
  } catch {
    // The service is restarting, which its supervisor reports.
    return [];
  }
}

/**
 * Reports what keeps the services of a stack from working, such as a lost NATS or full storage: once when a check fails in two polls
 * in a row, and once when it recovers. Resolves when the signal aborts.
 */
export async function watchChecks(options: ChecksOptions): Promise<void> {
  const { addresses, say, onStorageFull, storagePatienceMs = Infinity, signal, pollMs = 2_000 } = options;
  const said = new Set<string>();
  let before = new Set<string>();
  let fullSince: number | undefined;
  while (!signal.aborted) {
    const all = Object.entries(addresses()).map(([service, { http }]) => faultsOf(service, http));
    const faults = (await Promise.all(all)).flat();
    const now = new Set(faults.map(({ name }) => name));
    for (const name of now) {
      if (said.has(name) || !before.has(name)) continue;
      said.add(name);
      const { why } = faults.find((fault) => fault.name === name) ?? { why: "" };
      say(`waiting: ${why} (${faults.flatMap((fault) => (fault.name === name ? [fault.service] : [])).join(", ")})`);
    }
    for (const name of said) {
      if (now.has(name) || before.has(name)) continue;
      said.delete(name);
      say(`recovered: ${name}`);
    }
    before = now;
    const full = faults.find(({ name }) => name === "storage");
    fullSince = full && (fullSince ?? performance.now());
    if (full && fullSince !== undefined && performance.now() - fullSince > storagePatienceMs) {
      onStorageFull(new LatheError("RESOURCE_EXHAUSTED", full.why, { reason: "STORAGE_FULL" }));
      return;
    }
    try {
      await pause(pollMs, undefined, { signal });
    } catch {
      // The stack is stopping.
      return;
    }
  }
}
