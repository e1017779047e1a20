import { gate } from "./gate";
import { asCancelled, packError, unpackError, type ToChild, type ToParent } from "./workerMessages";

interface WorkerContext<Message, Reply> {
  /** Sends a message to the parent, in order and without an answer. */
  send: (message: Message) => void;
  /** Sends a request to the parent and returns its answer; rejects with the LatheError that the parent's handler threw. */
  request: (message: Message) => Promise<Reply>;
  /** Aborts when the parent stops the job; to be checked between steps (`signal.throwIfAborted()`). */
  signal: AbortSignal;
}

/** CPU time that a child which works uses between two signs of life. One that only waits uses a hundredth of it. */
const LIVELY_MICROSECONDS = 50_000;

/**
 * The child side of a worker: runs `handler` on the one job that the parent sends, reports its result or error, and exits. It also exits
 * when the parent has ended.
 */
export function serveWorker<Job, Message = never, Result = void, Reply = void>(
  handler: (job: Job, context: WorkerContext<Message, Reply>) => Promise<Result>,
): void {
  const controller = new AbortController();
  const waiting = new Map<number, { resolve: (value: Reply) => void; reject: (error: Error) => void }>();
  let nextId = 1;
  const post = (message: ToParent, sent?: () => void) => void process.send?.(message, undefined, undefined, sent);
  const context: WorkerContext<Message, Reply> = {
    send: (value) => post({ kind: "message", value }),
    request: (value) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        waiting.set(id, { resolve, reject });
        post({ kind: "request", id, value });
      }),
    signal: controller.signal,
  };
  // A step blocks the event loop, and a read that hangs does not: a child shows life when its event loop turns and it has worked.
  let worked = process.cpuUsage();
  const beat = () => {
    const { user, system } = process.cpuUsage(worked);
    if (user + system < LIVELY_MICROSECONDS) return;
    worked = process.cpuUsage();
    post({ kind: "alive" });
  };
  const work = async (job: Job) => {
    let last: ToParent;
    try {
      last = { kind: "result", value: await handler(job, context) };
    } catch (error) {
      last = { kind: "error", error: packError(error) };
    }
    // Explicit, because native thread pools may keep the event loop alive.
    post(last, () => process.exit(0));
  };
  process.on("message", (message: ToChild) => {
    switch (message.kind) {
      case "job":
        setInterval(beat, message.beatMs).unref();
        return void work(message.job as Job);
      case "abort":
        controller.abort(unpackError(message.error));
        // A step that waits goes on, so that the job can end.
        return gate.open();
      case "hold":
        if (!controller.signal.aborted) gate.close(() => post({ kind: "standing" }));
        return;
      case "release":
        return gate.open();
      case "reply":
      case "refusal": {
        const call = waiting.get(message.id);
        waiting.delete(message.id);
        if (message.kind === "reply") call?.resolve(message.value as Reply);
        else call?.reject(unpackError(message.error));
      }
    }
  });
  process.once("disconnect", () => process.exit(1));
  // Ctrl-C reaches the whole process group, but the parent decides when to stop.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => controller.abort(asCancelled("it got SIGTERM", "process")));
  post({ kind: "ready" });
}
