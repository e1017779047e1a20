import { LatheError } from "./errors";

export interface CheckReport {
  name: string;
  ok: boolean;
  /** Why the check is not ok; empty if it is ok. */
  why: string;
}

interface Check {
  ok(): void;
  fail(why: string): void;
}

/** Whether this process can serve: all of its gating checks are ok and it is not stopping. */
export interface Readiness {
  /** A new check, which fails until ok() is called. A check with `gates: false` is only reported. */
  check(name: string, why?: string, options?: { gates?: boolean }): Check;
  /** Not ready from now on, whatever the state of its checks. */
  stop(why: string): void;
  readonly ready: boolean;
  report(): CheckReport[];
  /** Calls `listener` at each change between ready and not ready; the returned function removes it. */
  onChange(listener: (ready: boolean) => void): () => void;
}

/** The readiness of this process, which /readyz and grpc.health.v1 report. */
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
