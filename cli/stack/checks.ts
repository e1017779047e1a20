import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import type { CheckReport } from "../../shared/process/readiness";

/** A check of a service as its /readyz reports it. */
interface Fault {
  service: string;
  name: string;
  why: string;
}

interface ChecksOptions {
  /** Where each service answers /readyz now: host:port. */
  addresses: () => Readonly<Record<string, { http: string }>>;
  say: (line: string) => void;
  /** Called once, when NATS has had no room for longer than `storagePatienceMs`. */
  onStorageFull: (error: LatheError) => void;
  /** Unless given, room is waited for without an end. */
  storagePatienceMs?: number | undefined;
  signal: AbortSignal;
  /** 2 s. */
  pollMs?: number;
}

/** The checks of a service, which answers 503 with the same body where one fails; rejects where it does not answer in time. */
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
    // It is being started again, which its supervisor says.
    return [];
  }
}

/**
 * Says what keeps services of a stack from their work (NATS away, no room), each check once when it fails in two looks in a row
 * and once when it is well again. Resolves when the signal aborts.
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
    fullSince = full && (fullSince ?? Date.now());
    if (full && fullSince !== undefined && Date.now() - fullSince > storagePatienceMs) {
      onStorageFull(new LatheError("RESOURCE_EXHAUSTED", full.why, { reason: "STORAGE_FULL" }));
      return;
    }
    try {
      await pause(pollMs, undefined, { signal });
    } catch {
      // The stack stops.
      return;
    }
  }
}
