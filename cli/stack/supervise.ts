import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../../shared/process/errors";
import { lastLines, type Child } from "./child";

interface SupervisedOptions {
  name: string;
  /** Starts the process and resolves when it serves. Called again after each unexpected end; the signal aborts a start. */
  start: (signal: AbortSignal) => Promise<Child>;
  say: (line: string) => void;
  /** Called once, when the process has died too often or cannot be restarted. */
  onGivenUp: (error: LatheError) => void;
  /** Wait before the first restart in milliseconds, doubled each time. */
  backoffMs?: number;
}

export interface Supervised {
  readonly name: string;
  /** The current process; during a restart, the previous one. */
  readonly child: Child;
  stop(graceMs: number): Promise<void>;
}

const maxRestarts = 5;
const maxBackoffMs = 5_000;
/** A process that served this long has its count of restarts reset. */
const forgivenAfterMs = 10 * 60_000;

/** Starts a process and restarts it after unexpected ends, at most 5 times in a row. Rejects if the first start fails. */
export async function supervise({
  name,
  start,
  say,
  onGivenUp,
  backoffMs = 250,
}: SupervisedOptions): Promise<Supervised> {
  const stopping = new AbortController();
  let child = await start(stopping.signal);
  let restarts = 0;
  let startedAt = performance.now();

  const giveUp = (why: string, cause?: unknown) => {
    const said = lastLines(child.log);
    onGivenUp(
      new LatheError("UNAVAILABLE", `${name} ${why}${said && `; the end of ${child.log}:\n${said}`}`, {
        reason: "PROCESS_GIVEN_UP",
        cause,
      }),
    );
  };
  const keep = async () => {
    for (;;) {
      const exit = await child.exited;
      if (stopping.signal.aborted) return;
      if (performance.now() - startedAt > forgivenAfterMs) restarts = 0;
      if (restarts >= maxRestarts) return giveUp(`died ${maxRestarts + 1} times (${exit})`);
      restarts++;
      say(`${name} died (${exit}); restarting it (${restarts} of ${maxRestarts})`);
      try {
        await pause(Math.min(maxBackoffMs, backoffMs * 2 ** (restarts - 1)), undefined, { signal: stopping.signal });
      } catch {
        // stop() was called during the wait.
        return;
      }
      try {
        child = await start(stopping.signal);
        startedAt = performance.now();
      } catch (error) {
        if (!stopping.signal.aborted) giveUp(`cannot be restarted: ${LatheError.from(error).message}`, error);
        return;
      }
    }
  };
  const kept = keep();
  return {
    name,
    get child() {
      return child;
    },
    async stop(graceMs) {
      stopping.abort();
      await child.stop(graceMs);
      // A restart during the stop may have started another process.
      await kept;
      await child.stop(graceMs);
    },
  };
}
