import { spawn } from "node:child_process";
import { LatheError } from "../../shared/process/errors";

/** Watches over the processes that this one started: they do not outlive it, however it ends. */
export interface Guard {
  readonly pid: number;
  /** From now on this process (the leader of a group of its own) is stopped if we vanish. */
  add(pid: number): void;
  /** The process is gone; its number may belong to somebody else. */
  drop(pid: number): void;
  stop(): Promise<void>;
}

/**
 * A shell that reads "add" and "drop" from its stdin. The pipe closes when we are gone, by SIGKILL too: it gives the services
 * a second to begin their stop by themselves, then asks what is left to stop, last added first, waits at most 5 s for each,
 * and kills the whole group of what does not.
 */
const script = `
gone() {
  kill -0 "$1" 2>/dev/null || return 0
  # An orphan that has ended, but whom nobody has collected yet.
  stat=
  read -r stat 2>/dev/null <"/proc/$1/stat"
  case $stat in *") Z "*) return 0 ;; esac
  return 1
}
pids=
while read -r verb pid; do
  rest=
  for one in $pids; do [ "$one" = "$pid" ] || rest="$rest $one"; done
  [ "$verb" = add ] && pids="$pid $rest" || pids=$rest
done
[ -n "$pids" ] && sleep 1
for pid in $pids; do
  kill -TERM "$pid" 2>/dev/null
  waits=0
  while ! gone "$pid" && [ $waits -lt 100 ]; do sleep 0.05; waits=$((waits + 1)); done
  kill -KILL -- "-$pid" 2>/dev/null
done
exit 0
`;

/** Starts the guard, a process of its own session so that a terminal's Ctrl-C does not reach it. */
export function startGuard(): Guard {
  const child = spawn("sh", ["-c", script, "lathe-guard"], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  const { pid, stdin } = child;
  if (pid === undefined || stdin === null)
    throw new LatheError(
      "FAILED_PRECONDITION",
      "cannot start sh, which watches over the processes of the local stack",
      { reason: "SHELL_MISSING" },
    );
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  // Without the guard the stack still works; only a SIGKILL of ours would then leave something behind.
  stdin.on("error", () => {});
  child.unref();
  (stdin as unknown as { unref?: () => void }).unref?.();
  return {
    pid,
    add: (one) => void stdin.write(`add ${one}\n`),
    drop: (one) => void stdin.write(`drop ${one}\n`),
    async stop() {
      // Waited for now, and so kept in mind by the event loop again.
      child.ref();
      child.kill("SIGKILL");
      await gone;
    },
  };
}
