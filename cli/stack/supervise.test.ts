import type { LatheError } from "../../shared/process/errors";
import type { Child } from "./child";
import { supervise } from "./supervise";

/** A process of which only the end matters. */
function child(): Child & { end(why: string): void } {
  let end = (_why: string): void => {};
  const exited = new Promise<string>((resolve) => (end = resolve));
  return {
    name: "a service",
    pid: 1,
    log: "/nowhere.log",
    exited,
    running: true,
    stop: () => Promise.resolve(end("exit code 0")),
    kill: () => end("killed by SIGKILL"),
    end: (why) => end(why),
  };
}

describe("supervise", () => {
  it("restarts five times in a row, then gives up with the reason", async () => {
    const said: string[] = [];
    let starts = 0;
    const givenUp = await new Promise<LatheError>((resolve) => {
      const start = () => {
        starts++;
        const one = child();
        setImmediate(() => one.end("exit code 1"));
        return Promise.resolve(one);
      };
      void supervise({ name: "a service", start, say: (line) => said.push(line), onGivenUp: resolve, backoffMs: 1 });
    });
    expect(starts).toBe(6);
    expect(said).toHaveLength(5);
    expect(said[4]).toBe("a service died (exit code 1); restarting it (5 of 5)");
    expect(givenUp.message).toBe("a service died 6 times (exit code 1)");
  });

  it("does not restart a stopped process, also during the wait before a restart", async () => {
    let starts = 0;
    const first = child();
    const start = () => Promise.resolve(starts++ === 0 ? first : child());
    const onGivenUp = () => {
      throw new Error("given up");
    };
    const kept = await supervise({ name: "a service", start, say: () => {}, onGivenUp, backoffMs: 60_000 });
    first.end("exit code 1");
    await new Promise((resolve) => setImmediate(resolve));
    await kept.stop(10);
    expect(starts).toBe(1);
  });

  it("rejects when the first start fails", async () => {
    const failed = new Error("no port");
    const start = () => Promise.reject(failed);
    await expect(supervise({ name: "a", start, say: () => {}, onGivenUp: () => {} })).rejects.toBe(failed);
  });
});
