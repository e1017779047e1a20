import { existsSync } from "node:fs";
import { LatheError } from "../process/errors";
import { gate } from "../process/gate";
import { serveWorker } from "../process/worker";

/** The jobs of the test child. */
export type TestJob =
  | { do: "double"; values: Float32Array }
  | { do: "environment"; name: string }
  | { do: "ask"; questions: number[] }
  | { do: "count"; to: number }
  | { do: "fail" }
  | { do: "throw"; message: string }
  | { do: "die"; signal: NodeJS.Signals; lastWords: string }
  | { do: "exit"; code: number }
  | { do: "block"; until: string }
  | { do: "until aborted"; answer: boolean }
  | { do: "fill"; bytes: number }
  | { do: "fill the heap" }
  | { do: "never stop" }
  | { do: "take steps" }
  | { do: "fall silent"; by: "waiting" | "blocking" | "standing still" }
  | { do: "toil"; forMs: number };

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Blocks the event loop until the condition holds. */
function block(until: () => boolean): void {
  while (!until());
}

serveWorker<TestJob, number, unknown, number>(async (job, { send, request, signal }) => {
  switch (job.do) {
    case "double":
      return { doubled: job.values.map((value) => 2 * value) };
    case "environment":
      return process.env[job.name];
    case "ask": {
      const answers: number[] = [];
      for (const question of job.questions) answers.push(await request(question));
      return answers;
    }
    case "count":
      for (let i = 1; i <= job.to; i++) send(i);
      return job.to;
    case "fail":
      throw new LatheError("INVALID_ARGUMENT", "training.epochs is 0", {
        reason: "SPEC_INVALID",
        violations: [{ field: "training.epochs", description: "is 0, must be at least 1" }],
        metadata: { searchId: "s-1" },
      });
    case "throw":
      throw new TypeError(job.message);
    case "die":
      process.stderr.write(`${job.lastWords}\n`);
      process.kill(process.pid, job.signal);
      return later(10_000);
    case "fill":
      return later(60_000 * Math.max(1, Buffer.alloc(job.bytes, 1).length / job.bytes));
    case "fill the heap": {
      const kept: number[][] = [];
      block(() => kept.push(new Array<number>(10_000).fill(kept.length)) < 0);
      return later(0);
    }
    case "exit":
      return process.exit(job.code);
    case "block":
      send(0);
      await later(20);
      block(() => existsSync(job.until));
      return "unblocked";
    case "until aborted":
      send(0);
      while (!signal.aborted) await later(5);
      if (job.answer) return "stopped in order";
      throw signal.reason;
    case "take steps":
      for (let step = 1; ; step++) {
        await gate.pass();
        signal.throwIfAborted();
        send(step);
        await later(1);
      }
    case "never stop":
      send(0);
      await later(20);
      block(() => false);
      return "never";
    case "fall silent":
      if (job.by === "blocking") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      if (job.by === "standing still") process.kill(process.pid, "SIGSTOP");
      return later(3_600_000);
    case "toil": {
      const end = performance.now() + job.forMs;
      while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
      return "done";
    }
  }
});
