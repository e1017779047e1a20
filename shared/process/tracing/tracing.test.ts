import { context, trace } from "@opentelemetry/api";
import { createLogger } from "../logger";
import { LatheError } from "../errors";
import { startTracing } from "./provider";
import { inSearchSpan, rootOf } from "./searchTrace";
import { sentFrom, sentWith } from "./span";

const lines: Record<string, unknown>[] = [];
const logger = createLogger({
  service: "test",
  write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>),
});

afterEach(() => {
  lines.length = 0;
  context.disable();
});

const off = () => startTracing({ service: "test", version: "0", endpoint: undefined, ratio: 1, logger });

describe("the trace of a search", () => {
  it("has ids that follow from the search id, valid and its own", () => {
    const [a, b] = [rootOf("s-a"), rootOf("s-b")];
    expect(rootOf("s-a")).toEqual(a);
    expect(a.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(a.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(trace.isSpanContextValid(a)).toBe(true);
    expect([b.traceId, b.spanId]).not.toEqual([a.traceId, a.spanId]);
  });

  it("is not sampled and sends nothing while tracing is off", async () => {
    off();
    expect(rootOf("s-a").traceFlags).toBe(0);
    const sent = await inSearchSpan("s-a", { name: "work" }, () => Promise.resolve(sentWith()));
    expect(sent).toEqual({});
  });

  it("is in the log lines of what is done for the search, across awaits, also while tracing is off", async () => {
    off();
    await inSearchSpan("s-a", { name: "work" }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      logger.info("inside");
      logger.info("of another", { searchId: "s-b" });
    });
    logger.info("outside");
    const { traceId } = rootOf("s-a");
    expect(lines).toMatchObject([{ searchId: "s-a", traceId }, { searchId: "s-b" }, { msg: "outside" }]);
    expect(lines[2]).not.toHaveProperty("searchId");
  });

  it("hands errors on", async () => {
    off();
    const error = new LatheError("ABORTED", "no");
    await expect(inSearchSpan("s-a", { name: "work" }, () => Promise.reject(error))).rejects.toBe(error);
  });
});

describe("a context that is sent", () => {
  const read = (entries: Record<string, string>) => sentFrom((name) => entries[name]);
  const traceId = "0123456789abcdef0123456789abcdef";

  it("is read as W3C Trace Context", () => {
    expect(read({ traceparent: `00-${traceId}-0123456789abcdef-01` })).toMatchObject({
      traceId,
      spanId: "0123456789abcdef",
      traceFlags: 1,
    });
  });

  it.each([
    ["nothing", {}],
    ["an empty one", { traceparent: "" }],
    ["a trace id of zeros", { traceparent: `00-${"0".repeat(32)}-0123456789abcdef-01` }],
    ["what is none", { traceparent: "s-abc" }],
  ])("is none where the message has %s", (_what, entries) => {
    expect(read(entries)).toBeUndefined();
  });

  it("is nothing outside of a span", () => {
    expect(sentWith()).toEqual({});
  });
});
