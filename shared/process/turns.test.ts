import { LatheError } from "./errors";
import { Turns } from "./turns";

const never = new AbortController().signal;
const tick = () => new Promise((resolve) => setImmediate(resolve));

/** A job that ends when the test calls `end`. */
function job(log: string[], name: string) {
  let end: (error?: Error) => void = () => {};
  const run = () => {
    log.push(`${name} begins`);
    return new Promise<string>((resolve, reject) => {
      end = (error) => {
        log.push(`${name} ends`);
        if (error) reject(error);
        else resolve(name);
      };
    });
  };
  return { run, end: (error?: Error) => end(error) };
}

describe("turns", () => {
  it("run one job at a time, in order, also after a failed one", async () => {
    const log: string[] = [];
    const turns = new Turns();
    const [a, b, c] = ["a", "b", "c"].map((name) => job(log, name)) as [
      ReturnType<typeof job>,
      ReturnType<typeof job>,
      ReturnType<typeof job>,
    ];
    const first = turns.take(a.run, never);
    const second = turns.take(b.run, never);
    const third = turns.take(c.run, never);
    expect(turns.pending).toBe(3);
    await tick();
    a.end();
    expect(await first).toBe("a");
    await tick();
    b.end(new Error("broken"));
    await expect(second).rejects.toThrow("broken");
    await tick();
    c.end();
    expect(await third).toBe("c");
    expect(log).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
    expect(turns.pending).toBe(0);
  });

  it("let a waiting job leave, and still keep the next one behind the running one", async () => {
    const log: string[] = [];
    const turns = new Turns();
    const [a, b, c] = ["a", "b", "c"].map((name) => job(log, name)) as [
      ReturnType<typeof job>,
      ReturnType<typeof job>,
      ReturnType<typeof job>,
    ];
    const stop = new AbortController();
    const first = turns.take(a.run, never);
    const second = turns.take(b.run, stop.signal);
    const third = turns.take(c.run, never);
    await tick();
    const why = new LatheError("DEADLINE_EXCEEDED", "too late");
    stop.abort(why);
    await expect(second).rejects.toBe(why);
    await tick();
    expect(log).toEqual(["a begins"]);
    expect(turns.pending).toBe(2);
    a.end();
    await first;
    await tick();
    c.end();
    expect(await third).toBe("c");
    expect(log).not.toContain("b begins");
  });

  it("are free when no job runs or waits, also where jobs come in while it waits", async () => {
    const log: string[] = [];
    const turns = new Turns();
    const [a, b] = [job(log, "a"), job(log, "b")];
    const first = turns.take(a.run, never);
    const free = turns.free(never).then(() => log.push("free"));
    await tick();
    const second = turns.take(b.run, never);
    a.end();
    await first;
    await tick();
    b.end();
    await Promise.all([second, free]);
    expect(log).toEqual(["a begins", "a ends", "b begins", "b ends", "free"]);
  });

  it("are called free after a bounded number of jobs, where each one brings the next", async () => {
    const turns = new Turns();
    let jobs = 0;
    let isFree = false;
    const next = (): Promise<void> =>
      turns.take(async () => {
        jobs++;
        await tick();
        if (!isFree) void next();
      }, never);
    void next();
    await turns.free(never);
    isFree = true;
    expect(jobs).toBeGreaterThan(1);
  });
});
