import { fork, type ChildProcess } from "node:child_process";
import { entry } from "./entry";
import { LatheError } from "./errors";
import { children } from "./hold";
import { memorySize, residentBytes, watchMemory } from "./memory";
import { asCancelled, packError, unpackError, type ToChild, type ToParent } from "./workerMessages";

export { serveWorker } from "./workerChild";

interface ChildOptions {
  /** Module of the child, as `entry` takes it; it must call `serveWorker`. */
  dir: string;
  name: string;
  /** Flags of Node for the child. */
  flags?: readonly string[];
  /** Added to this process's environment, e.g. GLIBC_TUNABLES. */
  env?: Readonly<Record<string, string>>;
  /** Time that an aborted child has to stop between steps before it is killed. */
  graceMs?: number;
  /**
   * Time without a sign of life after which a child is killed; 30 min. Its signs are its messages, and work between two turns of its event
   * loop. A step or the creation of a session blocks the loop, for some minutes at the most.
   */
  silenceMs?: number;
  /** Receives what the child prints; this process's stderr by default. */
  output?: (chunk: string) => void;
}

interface RunOptions<Message, Reply> {
  /**
   * Receives messages and requests in order. Its value answers a request, and its error is thrown at the requester; an error at a message
   * ends the run.
   */
  onMessage?: (message: Message) => Promise<Reply> | Reply;
  /** Resident memory above which the child is killed, in bytes: for jobs whose need a stranger decides. */
  memoryBytes?: number;
  /** Asks the child to stop. The child's signal carries the reason if it is a LatheError. */
  signal?: AbortSignal;
}

export interface Worker<Job, Message, Result, Reply> {
  /**
   * Runs one job in a new child process, which is started once the children of this process are not held (hold.ts). Rejects with the
   * child's LatheError, with UNAVAILABLE where the child crashed (reason WORKER_DIED) or was killed because it was silent (WORKER_SILENT),
   * with MEMORY_EXCEEDED where it held more memory than it may (FAILED_PRECONDITION) or got no more (RESOURCE_EXHAUSTED), or with CANCELLED
   * where an abort had to kill it.
   */
  run(job: Job, options?: RunOptions<Message, Reply>): Promise<Result>;
  /** Resident memory of the children that run now, in bytes; 0 when none runs. */
  rssBytes(): number;
  /** Process ids of the children that run now. */
  pids(): number[];
}

// V8 says why it aborts, then prints its stack.
const tailBytes = 16384;
const outputWaitMs = 500;
const SILENCE_MS = 30 * 60_000;
/** Signs of life of a child that works, in the time after which it would be killed. */
const BEATS = 30;

/** The running children. They must not outlive this process; if it dies by SIGKILL, they notice the closed channel. */
const alive = new Set<ChildProcess>();
let guarded = false;

function killWithUs(child: ChildProcess): void {
  if (!guarded) {
    guarded = true;
    process.once("exit", () => alive.forEach((one) => one.kill("SIGKILL")));
  }
  alive.add(child);
  child.once("exit", () => alive.delete(child));
}

/**
 * Runs jobs of one kind, each in a child process of its own, so that the caller's event loop stays free and all memory is freed at the
 * end. Messages are structured clones, so typed arrays stay typed arrays.
 */
export function startWorker<Job, Message = never, Result = void, Reply = void>(
  options: ChildOptions,
): Worker<Job, Message, Result, Reply> {
  const running = new Set<ChildProcess>();
  return {
    async run(job, runOptions = {}) {
      if (runOptions.signal?.aborted) throw asCancelled(runOptions.signal.reason, options.name);
      await children.released(runOptions.signal).catch((why: unknown) => {
        throw asCancelled(why, options.name);
      });
      const { path, execArgv } = entry(options.dir, options.name);
      const child = fork(path, [], {
        execArgv: [...execArgv, ...(options.flags ?? [])],
        serialization: "advanced",
        env: { ...process.env, ...options.env },
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      });
      killWithUs(child);
      running.add(child);
      try {
        return (await supervise(child, job, options, runOptions as RunOptions<unknown, unknown>)) as Result;
      } finally {
        running.delete(child);
      }
    },
    rssBytes: () => [...running].reduce((sum, child) => sum + residentBytes(child.pid), 0),
    pids: () => [...running].flatMap((child) => child.pid ?? []),
  };
}

/** How V8 and the C++ library say that a process ends because it gets no memory. */
const NO_MEMORY = /JavaScript heap out of memory|Fatal process out of memory|std::bad_alloc/;

/** How they end it then. */
const ABORTED = /^killed by SIG(ABRT|TRAP|ILL)$/;

/** The error of a child that ended without an outcome: MEMORY_EXCEEDED where it was aborted because it got no memory, else WORKER_DIED. */
function deathOf(name: string, pid: number | undefined, exit: string, said: string): LatheError {
  const metadata = { worker: name, exit };
  const lines = said.trim().split("\n");
  const starved = ABORTED.test(exit) ? lines.find((line) => NO_MEMORY.test(line))?.trim() : undefined;
  if (starved !== undefined) {
    const text = `worker ${name} (pid ${pid}) got no more memory and died: ${exit}; it said: ${starved}`;
    return new LatheError("RESOURCE_EXHAUSTED", text, { reason: "MEMORY_EXCEEDED", metadata });
  }
  const last = lines.slice(-8).join("\n");
  const text = `worker ${name} (pid ${pid}) died: ${exit}${last && `; it said:\n${last}`}`;
  return new LatheError("UNAVAILABLE", text, { reason: "WORKER_DIED", metadata });
}

function supervise(
  child: ChildProcess,
  job: unknown,
  { name, graceMs = 10_000, silenceMs = SILENCE_MS, output = (chunk) => process.stderr.write(chunk) }: ChildOptions,
  { onMessage = () => undefined, signal, memoryBytes }: RunOptions<unknown, unknown>,
): Promise<unknown> {
  let tail = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      if (stream === child.stderr) tail = (tail + chunk).slice(-tailBytes);
      output(chunk);
    });
  }

  return new Promise((resolve, reject) => {
    let outcome: { value: unknown } | { error: LatheError } | undefined;
    let started = false;
    let killer: NodeJS.Timeout | undefined;
    let lastWords: NodeJS.Timeout | undefined;
    let silent = 0;
    const pending = new Set<Promise<void>>();

    // A failed send means that the child is ending; its exit code says why.
    const send = (message: ToChild) => child.connected && child.send(message, () => {});
    const holdable = {
      hold: () => started && send({ kind: "hold" }),
      release: () => started && send({ kind: "release" }),
    };
    children.forked(holdable);
    const kill = () => {
      child.kill("SIGKILL");
      // A process that hangs in a call of the system ends when that does.
      lastWords = setTimeout(() => void settle("it does not end"), graceMs);
    };
    const killAfterGrace = () => {
      killer ??= setTimeout(kill, graceMs);
    };
    const beatMs = silenceMs / BEATS;
    // Ticks of this process are counted, so that a time in which both processes stood still is no silence.
    const listening = setInterval(() => {
      // While a message waits here, or the child is held, this process is to act.
      silent = pending.size > 0 || children.isHeld ? 0 : silent + 1;
      if (silent < BEATS) return;
      clearInterval(listening);
      const text = `worker ${name} (pid ${child.pid}) gave no sign of life for ${silenceMs / 1000} s and was killed`;
      outcome ??= {
        error: new LatheError("UNAVAILABLE", text, { reason: "WORKER_SILENT", metadata: { worker: name } }),
      };
      kill();
    }, beatMs);
    const unwatch =
      memoryBytes &&
      watchMemory(child.pid, memoryBytes, (held) => {
        const text = `worker ${name} (pid ${child.pid}) held ${memorySize(held)} of memory, must hold at most ${memorySize(memoryBytes)}, and was killed`;
        outcome ??= { error: new LatheError("FAILED_PRECONDITION", text, { reason: "MEMORY_EXCEEDED" }) };
        kill();
      });
    const abort = (why: unknown) => {
      // Before the job has started there is no step to stop after.
      if (!started) return void child.kill("SIGKILL");
      send({ kind: "abort", error: packError(asCancelled(why, name)) });
      killAfterGrace();
    };
    const onAbort = () => abort(signal?.reason);
    const handle = async (message: Extract<ToParent, { value: unknown }>) => {
      try {
        const value = await onMessage(message.value);
        if (message.kind === "request") send({ kind: "reply", id: message.id, value });
      } catch (error) {
        if (message.kind === "request") return void send({ kind: "refusal", id: message.id, error: packError(error) });
        outcome = { error: LatheError.from(error) };
        abort(error);
      }
    };

    child.on("message", (message: ToParent) => {
      silent = 0;
      switch (message.kind) {
        case "ready":
          started = true;
          send({ kind: "job", job, beatMs });
          return children.ready(holdable);
        case "standing":
          return children.stands(holdable);
        case "message":
        case "request": {
          const handled = handle(message).finally(() => pending.delete(handled));
          pending.add(handled);
          return;
        }
        case "result":
        case "error":
          // The first outcome counts: a failed message handler above, or this one.
          outcome ??= message.kind === "result" ? { value: message.value } : { error: unpackError(message.error) };
          killAfterGrace();
      }
    });

    let settled = false;
    const settle = async (exit: string) => {
      if (settled) return;
      settled = true;
      clearInterval(listening);
      children.ended(holdable);
      if (unwatch) unwatch();
      clearTimeout(killer);
      clearTimeout(lastWords);
      signal?.removeEventListener("abort", onAbort);
      await Promise.all(pending);
      if (outcome && "value" in outcome) return resolve(outcome.value);
      if (outcome) return reject(outcome.error);
      if (signal?.aborted) return reject(asCancelled(signal.reason, name));
      reject(deathOf(name, child.pid, exit, tail));
    };
    child.once("error", (error) => {
      if (child.pid === undefined) void settle(`it could not be started: ${error.message}`);
    });
    child.once("exit", (code, killedBy) => {
      const exit = killedBy ? `killed by ${killedBy}` : `exit code ${code}`;
      child.once("close", () => void settle(exit));
      // A grandchild may hold the pipes open, so the wait for the last output is short.
      clearTimeout(lastWords);
      lastWords = setTimeout(() => void settle(exit), outputWaitMs);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
