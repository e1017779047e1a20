import { LatheError } from "./errors";

export interface CheckReport {
  name: string;
  ok: boolean;
  /** Why it is not ok; empty if it is. */
  why: string;
}

interface Check {
  ok(): void;
  fail(why: string): void;
}

/** Whether this process can serve now: all of its named checks are ok and it does not stop. */
export interface Readiness {
  /** A new check; it fails until ok() is called. A check that does not gate is reported, and leaves the process ready. */
  check(name: string, why?: string, options?: { gates?: boolean }): Check;
  /** Not ready from now on, whatever the checks say. */
  stop(why: string): void;
  readonly ready: boolean;
  report(): CheckReport[];
  /** Calls `listener` at each change between ready and not ready; gives the function that ends it. */
  onChange(listener: (ready: boolean) => void): () => void;
}

/** Liveness is the event loop; readiness is what this value says: /readyz and grpc.health.v1 follow it. */
export function createReadiness(): Readiness {
  const checks = new Map<string, CheckReport>();
  const advisory = new Set<string>();
  const listeners = new Set<(ready: boolean) => void>();
  let stopped: string | undefined;
  const isReady = () => stopped === undefined && [...checks.values()].every(({ ok, name }) => ok || advisory.has(name));
  let last = isReady();
  const update = () => {
    const now = isReady();
    if (now === last) return;
    last = now;
    for (const listener of [...listeners]) listener(now);
  };
  return {
    check(name, why = "starting", { gates = true } = {}) {
      if (checks.has(name)) throw new LatheError("INTERNAL", `readiness check "${name}" exists already`);
      const state: CheckReport = { name, ok: false, why };
      const set = (ok: boolean, reason: string) => {
        state.ok = ok;
        state.why = reason;
        update();
      };
      checks.set(name, state);
      if (!gates) advisory.add(name);
      update();
      return { ok: () => set(true, ""), fail: (reason) => set(false, reason) };
    },
    stop(why) {
      stopped = why;
      update();
    },
    get ready() {
      return isReady();
    },
    report() {
      const reports = [...checks.values()].map((check) => ({ ...check }));
      return stopped === undefined ? reports : [...reports, { name: "running", ok: false, why: stopped }];
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
