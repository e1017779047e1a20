import { fstatSync } from "node:fs";
import type { Logger } from "./logger";

interface ShutdownOptions {
  logger: Logger;
  /** Default deadline of a step, in ms. */
  graceMs: number;
  /** Ends the process; for tests. */
  exit?: (code: number) => void;
}

export interface Shutdown {
  /** Registers a step of the stop. The step that was registered last runs first. */
  step(name: string, run: () => Promise<void> | void, deadlineMs?: number): void;
  /** Runs the steps, then exits with `code`, or with 1 if a step failed or overran. Later calls wait for the first. */
  stop(why: string, code: number): Promise<void>;
  /** Aborted when the stop begins. */
  readonly signal: AbortSignal;
}

interface Step {
  name: string;
  run: () => Promise<void> | void;
  deadlineMs: number;
}

const overran = Symbol("overran");

async function runStep({ name, run, deadlineMs }: Step, logger: Logger): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<typeof overran>((resolve) => {
    timer = setTimeout(() => resolve(overran), deadlineMs);
  });
  try {
    const result = await Promise.race([Promise.resolve().then(run), deadline]);
    if (result !== overran) return true;
    logger.error(`stop of ${name} took longer than ${deadlineMs} ms; going on without it`);
  } catch (error) {
    logger.error(`stop of ${name} failed`, { error });
  } finally {
    clearTimeout(timer);
  }
  return false;
}

/** The ordered stop of this process; `onProcessEnd` connects it to signals and failures. */
export function createShutdown({ logger, graceMs, exit = (code) => process.exit(code) }: ShutdownOptions): Shutdown {
  const steps: Step[] = [];
  const controller = new AbortController();
  let stopping: Promise<void> | undefined;

  const runAll = async (why: string, code: number) => {
    logger.info("stopping", { why });
    controller.abort(new Error(why));
    let clean = true;
    for (let step = steps.pop(); step; step = steps.pop()) clean = (await runStep(step, logger)) && clean;
    const exitCode = clean ? code : code || 1;
    logger.info("stopped", { exitCode });
    exit(exitCode);
  };
  return {
    step: (name, run, deadlineMs = graceMs) => void steps.push({ name, run, deadlineMs }),
    stop: (why, code) => (stopping ??= runAll(why, code)),
    signal: controller.signal,
  };
}

const signals = { SIGINT: 2, SIGTERM: 15 } as const;
const parentPollMs = 500;

/**
 * Stops this process in order on SIGTERM and SIGINT (exit 0), on an uncaught error (exit 1) and, if `withParent`,
 * when its parent is gone (exit 0). A second signal exits at once with 128 + its number.
 */
export function onProcessEnd(shutdown: Shutdown, logger: Logger, withParent: boolean): void {
  for (const [name, number] of Object.entries(signals)) {
    process.on(name, () => {
      if (shutdown.signal.aborted) {
        logger.warn(`second signal (${name}): leaving at once`);
        process.exit(128 + number);
      }
      void shutdown.stop(name, 0);
    });
  }
  process.on("uncaughtException", (error, origin) => {
    logger.error(`${origin === "unhandledRejection" ? "unhandled rejection" : "uncaught error"}: ${error.message}`, {
      error,
    });
    void shutdown.stop(origin, 1);
  });
  if (withParent) watchParent(() => void shutdown.stop("the parent process has ended", 0));
}

/** Calls `gone` once this process has another parent than at its start, or its stdin, if it is a pipe, is closed. */
function watchParent(gone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  }, parentPollMs);
  timer.unref();
  // /dev/null and files end at once, whether or not the parent runs.
  const stdin = fstatSync(0);
  if (!stdin.isFIFO() && !stdin.isSocket()) return;
  process.stdin.once("close", gone).once("error", gone).resume();
  (process.stdin as unknown as { unref?: () => void }).unref?.();
}
