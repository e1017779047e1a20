import { LatheError } from "./errors";

/** The outcome of a check. `detail` holds the findings, one fault per line, or why the check was left out and how to enable it. */
export interface Outcome {
  status: "ok" | "failed" | "left out";
  detail: string;
}

export interface Check {
  name: string;
  run: () => Promise<Outcome> | Outcome;
}

export const ok = (detail: string): Outcome => ({ status: "ok", detail });
export const leftOut = (detail: string): Outcome => ({ status: "left out", detail });

/** Failed if there are faults, otherwise ok with the given detail. */
export const judged = (faults: readonly string[], detail: string): Outcome =>
  faults.length === 0 ? ok(detail) : { status: "failed", detail: faults.map((fault) => `\n  ${fault}`).join("") };

/** Runs the checks one after another, prints one line per check and a summary, and returns whether none failed. */
export async function report(checks: readonly Check[], say: (line: string) => void): Promise<boolean> {
  const count = { ok: 0, failed: 0, "left out": 0 };
  for (const { name, run } of checks) {
    const started = performance.now();
    const { status, detail } = await Promise.resolve()
      .then(run)
      .catch((thrown: unknown) => ({ status: "failed" as const, detail: LatheError.from(thrown).message }));
    const seconds = (performance.now() - started) / 1000;
    count[status]++;
    say(`${status.padEnd(8)} ${name}: ${detail}${seconds >= 1 ? ` (${seconds.toFixed(0)} s)` : ""}`);
  }
  say(`${count.ok} passed, ${count.failed} failed, ${count["left out"]} left out`);
  return count.failed === 0;
}
