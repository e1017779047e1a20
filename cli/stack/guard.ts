import { spawn } from "node:child_process";
import { LatheError } from "../../shared/process/errors";

/** Ensures that the processes that this process started do not outlive it. */
export interface Guard {
  readonly pid: number;
  /** Guards a process, which must lead its own group: it is stopped if this process vanishes. */
  add(pid: number): void;
  /** Stops guarding a process that has ended, because its id may be reused. */
  drop(pid: number): void;
  stop(): Promise<void>;
}

/**
 * A shell that reads "add" and "drop" from its stdin. The pipe closes when this process ends, also by SIGKILL. The shell then gives the
 * services a second to stop by themselves, sends SIGTERM to the rest (last added first), waits at most 5 s for each and kills its group.
 */
const script = `
gone() {
  kill -0 "$1" 2>/dev/null || return 0
  # A zombie: it has ended, but its parent has not collected it.
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

/** Starts the guard in its own session, so that a terminal's Ctrl-C does not reach it. */
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
  // The stack works without the guard, but a SIGKILL of this process would then leave processes behind.
  stdin.on("error", () => {});
  child.unref();
  (stdin as unknown as { unref?: () => void }).unref?.();
  return {
    pid,
    add: (one) => void stdin.write(`add ${one}\n`),
    drop: (one) => void stdin.write(`drop ${one}\n`),
    async stop() {
      // The event loop must stay alive until the guard has ended.
      child.ref();
      child.kill("SIGKILL");
      await gone;
    },
  };
}
