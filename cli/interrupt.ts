import { LatheError } from "../shared/process/errors";
import { EXIT } from "./exit";
import { isAlive, npmAbove } from "./stack/processes";

interface Interrupt {
  /** Aborted by the first signal, when the reader of our output closes it, and when the npm that started us ends. */
  readonly signal: AbortSignal;
  /** Restores the default effect of the signals. */
  dispose(): void;
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const parentPollMs = 500;

/** Turns the first SIGINT, SIGTERM or SIGHUP into an abort with a CANCELLED error. The second ends the process and kills its children. */
export function onInterrupt(say: (line: string) => void): Interrupt {
  const controller = new AbortController();
  const interrupt = (why: string) => {
    if (controller.signal.aborted) process.exit(EXIT.cancelled);
    controller.abort(new LatheError("CANCELLED", `interrupted (${why})`, { reason: "INTERRUPTED" }));
  };
  const onSignal = (name: NodeJS.Signals) => {
    interrupt(name);
    if (process.stderr.isTTY) say("stopping; press Ctrl-C again to stop immediately");
  };
  const onPipe = (error: NodeJS.ErrnoException) => {
    // Every write to a closed pipe fails; a repeated failure must not count as a second signal.
    if (!controller.signal.aborted) interrupt(`output: ${error.code ?? error.message}`);
  };
  for (const name of signals) process.on(name, onSignal);
  process.stdout.on("error", onPipe);
  process.stderr.on("error", onPipe);

  // npm does not forward every signal: after it is killed, its command would keep running.
  const underNpm = process.env.npm_lifecycle_event !== undefined;
  const parent = process.ppid;
  const npm = underNpm ? npmAbove() : undefined;
  const watch = setInterval(() => {
    if (!underNpm || (process.ppid === parent && (npm === undefined || isAlive(npm)))) return;
    clearInterval(watch);
    if (!controller.signal.aborted) interrupt("npm has ended");
  }, parentPollMs);
  watch.unref();
  return {
    signal: controller.signal,
    dispose() {
      clearInterval(watch);
      for (const name of signals) process.removeListener(name, onSignal);
    },
  };
}
