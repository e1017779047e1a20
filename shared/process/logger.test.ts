import { LatheError } from "./errors";
import { createLogger, type Logger } from "./logger";

function logged(level: "debug" | "info" | "warn" | "error", use: (logger: Logger) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  use(createLogger({ service: "search", level, write: (line) => lines.push(line) }));
  for (const line of lines) expect(line).toMatch(/^\{[^\n]*\}\n$/);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("a logger", () => {
  it("writes time, level, service, message and fields, including those of its parents", () => {
    const [line] = logged("info", (logger) =>
      logger.child({ searchId: "s-1" }).child({ epoch: 2 }).warn("slow", { ms: 9 }),
    );
    expect(line).toEqual({
      time: expect.any(String) as string,
      level: "warn",
      service: "search",
      msg: "slow",
      searchId: "s-1",
      epoch: 2,
      ms: 9,
    });
    expect(Object.keys(line!).slice(0, 4)).toEqual(["time", "level", "service", "msg"]);
  });

  it("leaves out lines below its level", () => {
    const lines = logged("warn", (logger) => {
      for (const level of ["debug", "info", "warn", "error"] as const) logger[level](level);
    });
    expect(lines.map(({ msg }) => msg)).toEqual(["warn", "error"]);
  });

  it("writes an error with code, reason, violations and its causes", () => {
    const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    const error = new LatheError("UNAVAILABLE", "nats is down", {
      reason: "NATS_DOWN",
      violations: [{ field: "a", description: "b" }],
      cause,
    });
    const [line] = logged("info", (logger) => logger.error("failed", { error }));
    expect(line!["error"]).toMatchObject({
      code: "UNAVAILABLE",
      reason: "NATS_DOWN",
      message: "nats is down",
      violations: [{ field: "a", description: "b" }],
      cause: { code: "ECONNREFUSED", message: "connect ECONNREFUSED" },
    });
  });

  it("never writes secrets, at any depth", () => {
    const [line] = logged("info", (logger) =>
      logger.info("call", {
        authorization: "Bearer hunter2",
        nats: { credentials: Buffer.from("hunter2"), authToken: ["hunter2"] },
      }),
    );
    expect(JSON.stringify(line)).not.toContain("hunter2");
  });

  it("writes the message even if fields cannot be written; fields cannot forge the fixed names", () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    const [lost, forged, bytes] = logged("info", (logger) => {
      logger.info("cycle", { cycle });
      logger.info("forged", { level: "debug", service: "other", n: 1n });
      logger.info("bytes", { buffer: Buffer.alloc(10), floats: new Float32Array(3) });
    });
    expect(lost).toMatchObject({ msg: "cycle", fieldsLost: expect.stringContaining("circular") as string });
    expect(forged).toMatchObject({ level: "info", service: "search", n: "1" });
    expect(bytes).toMatchObject({ buffer: "[10 bytes]", floats: "[12 bytes]" });
  });
});
