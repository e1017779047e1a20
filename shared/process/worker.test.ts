import { fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { entry } from "./entry";
import { LatheError } from "./errors";
import { startWorker } from "./worker";
import type { TestJob } from "../testing/workerJobs";

const dir = join(__dirname, "../testing");
let printed = "";
const worker = startWorker<TestJob, number, unknown, number>({
  dir,
  name: "workerJobs",
  env: { LATHE_TEST_ADDITION: "from the parent" },
  graceMs: 300,
  output: (chunk) => (printed += chunk),
});

const failure = (run: Promise<unknown>): Promise<LatheError> =>
  run.then(
    (value) => Promise.reject(new Error(`no failure but ${JSON.stringify(value)}`)),
    (error: LatheError) => error,
  );

it("a worker that holds more memory than it may is killed, and one below the bound is not", async () => {
  const memoryBytes = 600 * 2 ** 20;
  const error = await failure(worker.run({ do: "fill", bytes: 2 * memoryBytes }, { memoryBytes }));
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "MEMORY_EXCEEDED" });
  expect(error.message).toMatch(/held \d+(\.\d)? [GM]iB of memory, must hold at most 600 MiB, and was killed$/);
  const result = await worker.run({ do: "double", values: new Float32Array([1]) }, { memoryBytes });
  expect(result).toEqual({ doubled: new Float32Array([2]) });
});

it("a worker whose heap is full fails with MEMORY_EXCEEDED and its last words", async () => {
  const narrow = startWorker<TestJob>({
    dir,
    name: "workerJobs",
    flags: ["--max-old-space-size=40"],
    output: () => {},
  });
  const error = await failure(narrow.run({ do: "fill the heap" }));
  expect(error).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "MEMORY_EXCEEDED" });
  expect(error.message).toMatch(
    /^worker workerJobs \(pid \d+\) got no more memory and died: killed by SIG\w+; it said: .*heap out of memory/,
  );
});

describe("a worker", () => {
  it("returns typed arrays unchanged", async () => {
    const result = await worker.run({ do: "double", values: new Float32Array([1, 2.5]) });
    expect(result).toEqual({ doubled: new Float32Array([2, 5]) });
    expect(worker.rssBytes()).toBe(0);
  });

  it("receives the additions to the environment", async () => {
    expect(await worker.run({ do: "environment", name: "LATHE_TEST_ADDITION" })).toBe("from the parent");
  });

  it("sends requests and gets their answers; messages arrive in order, before the result", async () => {
    const seen: number[] = [];
    const [answers, count] = await Promise.all([
      worker.run({ do: "ask", questions: [3, 4] }, { onMessage: (question) => Promise.resolve(question * question) }),
      worker.run({ do: "count", to: 50 }, { onMessage: (i) => void seen.push(i) as never }),
    ]);
    expect(answers).toEqual([9, 16]);
    expect(count).toBe(50);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  });

  it("receives the parent's refusal as the same LatheError", async () => {
    const error = await failure(
      worker.run(
        { do: "ask", questions: [1] },
        { onMessage: () => Promise.reject(new LatheError("ABORTED", "epoch 3 is taken", { reason: "EPOCH_TAKEN" })) },
      ),
    );
    expect(error).toMatchObject({ code: "ABORTED", reason: "EPOCH_TAKEN", message: "epoch 3 is taken" });
  });

  it("ends when the parent fails to handle a message", async () => {
    const error = await failure(
      worker.run(
        { do: "until aborted", answer: true },
        { onMessage: () => Promise.reject(new Error("bus is closed")) },
      ),
    );
    expect(error.message).toBe("bus is closed");
  });

  it("passes its LatheError with code, reason, violations and metadata", async () => {
    const error = await failure(worker.run({ do: "fail" }));
    expect(error).toBeInstanceOf(LatheError);
    expect(error).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "SPEC_INVALID",
      violations: [{ field: "training.epochs", description: "is 0, must be at least 1" }],
      metadata: { searchId: "s-1" },
    });
  });

  it("passes an unknown error as INTERNAL with its stack as the cause", async () => {
    const error = await failure(worker.run({ do: "throw", message: "x is not a function" }));
    expect(error).toMatchObject({ code: "INTERNAL", message: "x is not a function" });
    expect((error.cause as Error).stack).toContain("workerJobs");
  });

  it("fails with WORKER_DIED, the signal or exit code and its last output where it is killed or exits", async () => {
    const [killed, exited, spoken] = await Promise.all([
      failure(worker.run({ do: "die", signal: "SIGKILL", lastWords: "allocating 40 GB" })),
      failure(worker.run({ do: "exit", code: 7 })),
      failure(worker.run({ do: "die", signal: "SIGKILL", lastWords: "std::bad_alloc, tried again" })),
    ]);
    expect(killed).toMatchObject({
      code: "UNAVAILABLE",
      reason: "WORKER_DIED",
      metadata: { exit: "killed by SIGKILL" },
    });
    expect(killed.message).toContain("killed by SIGKILL");
    expect(killed.message).toContain("allocating 40 GB");
    expect(printed).toContain("allocating 40 GB");
    expect(exited).toMatchObject({ reason: "WORKER_DIED", metadata: { exit: "exit code 7" } });
    // Its own log may tell of memory that it did without.
    expect(spoken.reason).toBe("WORKER_DIED");
  });

  it("leaves its parent responsive while it blocks", async () => {
    let rss = 0;
    const free = join(mkdtempSync(join(tmpdir(), "lathe-worker-")), "free");
    const running = worker.run(
      { do: "block", until: free },
      {
        // The child blocks until its parent has written a file, which a parent that waits for it never does.
        onMessage: () => {
          rss = worker.rssBytes();
          setTimeout(() => writeFileSync(free, ""), 20);
          return 0;
        },
      },
    );
    expect(await running).toBe("unblocked");
    expect(rss).toBeGreaterThan(10e6);
    rmSync(dirname(free), { recursive: true });
  });
});

describe("an aborted worker", () => {
  const abortAtFirstMessage = (job: TestJob, reason?: unknown) => {
    const controller = new AbortController();
    return worker.run(job, {
      signal: controller.signal,
      onMessage: () => {
        controller.abort(reason);
        return 0;
      },
    });
  };

  it("may still return a result", async () => {
    expect(await abortAtFirstMessage({ do: "until aborted", answer: true })).toBe("stopped in order");
  });

  it("sees the parent's reason", async () => {
    const reason = new LatheError("CANCELLED", "search s-1 was paused", { reason: "SEARCH_PAUSED" });
    const error = await failure(abortAtFirstMessage({ do: "until aborted", answer: false }, reason));
    expect(error).toMatchObject({ code: "CANCELLED", reason: "SEARCH_PAUSED", message: "search s-1 was paused" });
  });

  it("is killed when it does not stop in time", async () => {
    const error = await failure(abortAtFirstMessage({ do: "never stop" }));
    expect(error).toMatchObject({ code: "CANCELLED", reason: "WORKER_ABORTED" });
    expect(worker.pids()).toEqual([]);
  });

  it("does not start after an abort", async () => {
    await expect(worker.run({ do: "fail" }, { signal: AbortSignal.abort(new Error("too late")) })).rejects.toThrow(
      "too late",
    );
  });
});

describe("a worker whose child may be silent for ten seconds", () => {
  const silenceMs = 10_000;
  const strict = startWorker<TestJob, number, unknown, number>({ dir, name: "workerJobs", silenceMs });

  it("kills it where it waits for what never comes, blocks its event loop, or stands still", async () => {
    const ways = ["waiting", "blocking", "standing still"] as const;
    for (const error of await Promise.all(ways.map((by) => failure(strict.run({ do: "fall silent", by })))))
      expect(error).toMatchObject({ code: "UNAVAILABLE", reason: "WORKER_SILENT" });
    expect(strict.pids()).toEqual([]);
  });

  it("lets it be while it works, or waits for an answer", async () => {
    const late = (question: number) => new Promise<number>((resolve) => setTimeout(resolve, 1.2 * silenceMs, question));
    const results = Promise.all([
      strict.run({ do: "toil", forMs: 1.2 * silenceMs }),
      strict.run({ do: "ask", questions: [1] }, { onMessage: late }),
    ]);
    expect(await results).toEqual(["done", [1]]);
  });
});

it("a child exits when its parent has ended", async () => {
  const { path, execArgv } = entry(dir, "workerJobs");
  const child = fork(path, [], { execArgv, serialization: "advanced", stdio: ["ignore", "ignore", "ignore", "ipc"] });
  const message = () => new Promise((resolve) => child.once("message", resolve));
  await message();
  child.send({ kind: "job", job: { do: "until aborted", answer: true }, beatMs: 60_000 });
  // It waits for nothing but its abort now.
  await message();
  child.disconnect();
  expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(1);
});
