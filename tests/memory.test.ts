import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { SearchState } from "../shared/proto/lathe/v1/search";
import { isAlive } from "../shared/testing/processes";
import { smallSpec } from "./specs";
import { System } from "./system";

/** Writable memory of a process in MiB; a limit of the kernel's RLIMIT_DATA bounds it. */
const dataMiB = (pid: number) =>
  Number(/^VmData:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

it("a search whose training gets no memory fails by name after three attempts, and others go on", async () => {
  const system = await System.start();
  try {
    const { pid } = system.stack.addresses().supernet;
    let peak = 0;
    const sampling = setInterval(() => {
      // A process that ends meanwhile has no size.
      for (const trainer of system.trainers()) if (isAlive(trainer)) peak = Math.max(peak, dataMiB(trainer) || 0);
    }, 10);
    expect((await system.run(smallSpec())).search.state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    clearInterval(sampling);
    // Training processes inherit the limit.
    execFileSync("prlimit", ["--pid", String(pid), `--data=${Math.round(1.25 * peak * 2 ** 20)}`]);
    const large = smallSpec({ training: { epochs: 6, batchSize: 16, warmupEpochs: 1, alphaLearningRate: 0.5 } });
    Object.assign(large.space!, { inputHeight: 128, inputWidth: 256 });
    const [failing, other] = [await system.begin(large), await system.begin(smallSpec())];
    const { state, conditions } = await system.ended(failing);
    expect(SearchState[state]).toBe("SEARCH_STATE_FAILED");
    const failed = conditions.find(({ type }) => type === "Failed");
    expect(failed).toMatchObject({ reason: "MEMORY_EXCEEDED" });
    // ONNX Runtime refuses a step, or at the same limit V8 ends the process: what asks first depends on the machine's load.
    expect(failed?.message).toMatch(
      /^(a step( \(node \S+\))? did not get \d+ MiB more memory, the process has \d+ MiB: lower the batch size or the input size, or give|worker \S+ \(pid \d+\) got no more memory and died: )/,
    );
    const history = await system.history(failing);
    expect(history.flatMap(({ event }) => (event.type === "work.failed" ? [event.data.deliveries] : []))).toEqual([3]);
    expect((await system.ended(other)).state).toBe(SearchState.SEARCH_STATE_SUCCEEDED);
    expect(system.said).toEqual([]);
  } finally {
    await system.stop();
  }
});
