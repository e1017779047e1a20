import { LatheError } from "../shared/process/errors";
import { EXIT } from "./exit";
import { isAlive, npmAbove } from "./stack/processes";

interface Interrupt {
  /** Aborted by the first signal, or when whoever reads our output or started us under npm is gone. */
  readonly signal: AbortSignal;
  /** Signals have their default effect again. */
  dispose(): void;
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const parentPollMs = 500;

/** Turns the first SIGINT, SIGTERM or SIGHUP into an abort with a CANCELLED error; the second leaves at once, and what was started is killed. */
export function onInterrupt(say: (line: string) => void): Interrupt {
  const controller = new AbortController();
  const interrupt = (why: string) => {
    if (controller.signal.aborted) process.exit(EXIT.cancelled);
    controller.abort(new LatheError("CANCELLED", `interrupted (${why})`, { reason: "INTERRUPTED" }));
  };
  const onSignal = (name: NodeJS.Signals) => {
    interrupt(name);
    if (process.stderr.isTTY) say("stopping; once more to stop at once");
  };
  const onPipe = (error: NodeJS.ErrnoException) => {
    // A closed pipe comes with every write; it must not count as the second signal.
    if (!controller.signal.aborted) interrupt(`output: ${error.code ?? error.message}`);
  };
  for (const name of signals) process.on(name, onSignal);
  process.stdout.on("error", onPipe);
  process.stderr.on("error", onPipe);

  // npm does not hand every signal on: if it is killed, its command would run on unseen.
  const underNpm = process.env.npm_lifecycle_event !== undefined;
  const parent = process.ppid;
  const npm = underNpm ? npmAbove() : undefined;
  const watch = setInterval(() => {
    if (!underNpm || (process.ppid === parent && (npm === undefined || isAlive(npm)))) return;
    clearInterval(watch);
    if (!controller.signal.aborted) interrupt("npm is gone");
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
