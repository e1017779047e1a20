import { setTimeout as sleep } from "node:timers/promises";
import { LatheError } from "../process/errors";
import { DiscretizationServiceClient, DiscretizationServiceService } from "../proto/lathe/v1/discretization";
import { ShrinkingServiceClient, ShrinkingServiceService } from "../proto/lathe/v1/shrinking";
import { startRpc, type TestRpc } from "../testing/rpc";
import { service, type Methods } from "./handlers";
import { isLoopback } from "./settings";
import { PATIENCE_MS, until } from "../testing/until";

type Discretization = Methods<typeof DiscretizationServiceService>;

const opened: TestRpc[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((rpc) => rpc.stop()));
});

async function serve(methods: Partial<Discretization>, options: Parameters<typeof startRpc>[1] = {}) {
  const missing = () => Promise.reject(new LatheError("UNIMPLEMENTED", "not in this test"));
  const rpc = await startRpc(
    [
      service(DiscretizationServiceService, {
        discretize: missing,
        exportNetwork: () => ({ [Symbol.asyncIterator]: () => ({ next: missing }) }),
        evaluateNetwork: () => ({ [Symbol.asyncIterator]: () => ({ next: missing }) }),
        ...methods,
      }),
    ],
    options,
  );
  opened.push(rpc);
  return rpc;
}

async function discretizationAt(methods: Partial<Discretization>, options: Parameters<typeof serve>[1] = {}) {
  const rpc = await serve(methods, options);
  const { api } = rpc.connect(DiscretizationServiceClient);
  return { rpc, api };
}

const failure = (run: Promise<unknown>): Promise<LatheError> =>
  run.then(
    () => Promise.reject(new Error("no failure")),
    (error: LatheError) => error,
  );

const anArchitecture = { space: undefined, architecture: undefined };
const decided = { removals: [], architecture: undefined, converged: false, log10Space: 0, candidatesLeft: 0 };
const answer = { genotype: undefined, converged: true, figures: undefined };

describe("a unary call", () => {
  it("carries request and response", async () => {
    const { api } = await discretizationAt({
      discretize: ({ architecture }) => ({ ...answer, converged: architecture?.groups.length === 2 }),
    });
    const groups = ["stage1/depth", "stage2/depth"].map((id) => ({ id, dimension: 1, alphas: [0.5], survivors: [0] }));
    expect(await api.discretize({ ...anArchitecture, architecture: { groups } })).toEqual(answer);
    expect(await api.discretize({ ...anArchitecture, architecture: { groups: [] } })).toMatchObject({
      converged: false,
    });
  });

  it("carries a LatheError with code, reason, violations and metadata", async () => {
    const thrown = new LatheError("INVALID_ARGUMENT", "2 faults in the spec: Größe", {
      reason: "SPEC_INVALID",
      metadata: { searchId: "s-abc" },
      violations: [
        { field: "spec.seed", description: "is -1, must be at least 0" },
        { field: "spec.space", description: "is empty" },
      ],
    });
    const { api } = await discretizationAt({ discretize: () => Promise.reject(thrown) });
    const error = await failure(api.discretize(anArchitecture));
    expect(error).toBeInstanceOf(LatheError);
    expect({ ...error, cause: undefined }).toEqual({ ...thrown, cause: undefined });
    expect(error.message).toBe(thrown.message);
  });

  it("sends as many violations as fit and counts the rest", async () => {
    const violations = Array.from({ length: 1000 }, (_, i) => ({ field: `f${i}`, description: "x".repeat(40) }));
    const { api } = await discretizationAt({
      discretize: () => Promise.reject(new LatheError("INVALID_ARGUMENT", "m".repeat(20_000), { violations })),
    });
    const error = await failure(api.discretize(anArchitecture));
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.violations.length).toBeGreaterThan(10);
    expect(error.violations.length + Number(error.metadata["violations_omitted"])).toBe(1000);
  });

  it("carries a message in which a quoted value ends within a character", async () => {
    const cut = `label "${"\u{1f600}".slice(0, 1)}" ${"x".repeat(1400)}`;
    const { api } = await discretizationAt({
      discretize: () => Promise.reject(new LatheError("INVALID_ARGUMENT", `${cut}${"\u{1f600}".repeat(100)}`)),
    });
    const { code, message } = await failure(api.discretize(anArchitecture));
    expect({ code, message: message.slice(0, 9) }).toEqual({ code: "INVALID_ARGUMENT", message: 'label "\ufffd"' });
  });

  it("joins a response that comes in parts, and answers other calls between them", async () => {
    const rpc = await startRpc([
      service(ShrinkingServiceService, {
        decide: () => ({ ...decided, candidatesLeft: 7 }),
        *simulateSchedule() {
          // A server that answered nothing meanwhile would come to the last part.
          for (let part = 0; part < 100_000; part++) {
            yield { decisions: [{ ...decided, candidatesLeft: part }] };
            if (other) return;
          }
        },
      }),
    ]);
    opened.push(rpc);
    const { api } = rpc.connect(ShrinkingServiceClient);
    const nothing = { space: undefined, policy: undefined };
    let other: unknown = undefined;
    const whole = api.simulateSchedule({ ...nothing, epochs: [] });
    other = await api.decide({ ...nothing, architecture: undefined, epoch: 1, epochs: 1 });
    const { decisions } = await whole;
    expect(other).toMatchObject({ candidatesLeft: 7 });
    expect(decisions.map(({ candidatesLeft }) => candidatesLeft)).toEqual([...decisions.keys()]);
    expect(decisions.length).toBeLessThan(100_000);
  });

  it("hides an unknown error behind INTERNAL, and logs it", async () => {
    const { api, rpc } = await discretizationAt({
      discretize: () => Promise.reject(new TypeError("password of db is hunter2")),
    });
    const error = await failure(api.discretize(anArchitecture));
    expect(error.code).toBe("INTERNAL");
    expect(error.message).not.toContain("hunter2");
    const line = rpc.logs.find(({ msg }) => msg === "call failed");
    expect(line).toMatchObject({
      incident: error.metadata["incident"],
      error: { name: "TypeError", message: "password of db is hunter2" },
    });
  });

  it("fails in the same way where it throws before its first await", async () => {
    const { api } = await discretizationAt({
      discretize: () => {
        throw new LatheError("NOT_FOUND", "no search s-1");
      },
    });
    expect(await failure(api.discretize(anArchitecture))).toMatchObject({
      code: "NOT_FOUND",
      message: "no search s-1",
    });
  });

  it("ends at its deadline on both sides", async () => {
    let seen: unknown;
    let entered = false;
    const { api, rpc } = await discretizationAt({
      discretize: async (_, { signal, deadline }) => {
        expect(deadline).toBeInstanceOf(Date);
        entered = true;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        seen = signal.reason;
        throw new Error("unseen");
      },
    });
    // A busy machine may need longer to reach the handler at all.
    for (let deadlineMs = 60; !entered; deadlineMs *= 2) {
      const error = await failure(api.discretize(anArchitecture, { deadlineMs }));
      expect(error.code).toBe("DEADLINE_EXCEEDED");
      expect(error.message).toContain(`discretization service at ${rpc.address} did not answer Discretize in time`);
    }
    await until(() => seen !== undefined);
    expect((seen as LatheError).code).toMatch(/DEADLINE_EXCEEDED|CANCELLED/);
  });

  it("is cancelled by the client's signal", async () => {
    let cancelled = false;
    const controller = new AbortController();
    const { api } = await discretizationAt({
      discretize: async (_, { signal }) => {
        controller.abort();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        cancelled = true;
        throw new Error("unseen");
      },
    });
    const error = await failure(api.discretize(anArchitecture, { signal: controller.signal }));
    expect(error.code).toBe("CANCELLED");
    await until(() => cancelled);
  });

  it("names service and address where no server listens", async () => {
    const { api, rpc } = await discretizationAt({});
    await opened.pop()?.stop();
    const other = rpc.connect(DiscretizationServiceClient);
    void api;
    const error = await failure(other.api.discretize(anArchitecture));
    expect(error).toMatchObject({ code: "UNAVAILABLE", reason: "SERVICE_UNREACHABLE" });
    expect(error.message).toBe(
      `discretization service at ${rpc.address} is not reachable: connect ECONNREFUSED ${rpc.address}`,
    );
    await expect(other.ready(50)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    other.close();
  });

  it("is repeated on UNAVAILABLE where it changes nothing", async () => {
    let calls = 0;
    const { api } = await discretizationAt({
      discretize: () => {
        if (++calls < 3) throw new LatheError("UNAVAILABLE", "not yet");
        return answer;
      },
    });
    await api.discretize(anArchitecture);
    expect(calls).toBe(3);
  });
});

const chunk = (bytes: number) => ({ chunk: Buffer.alloc(bytes, 1) });
const anExport = { searchId: "s-1", inputHeight: 0, inputWidth: 0, inherited: false, form: 0 };

describe("a stream", () => {
  it("delivers all messages in order, then ends", async () => {
    const { api } = await discretizationAt({
      async *exportNetwork() {
        for (let i = 0; i < 100; i++) {
          if (i % 10 === 0) await sleep(0);
          yield { chunk: Buffer.from([i]) };
        }
      },
    });
    const bytes: number[] = [];
    for await (const message of api.exportNetwork(anExport)) bytes.push(message.chunk[0]!);
    expect(bytes).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it("carries an error after messages", async () => {
    const { api } = await discretizationAt({
      async *exportNetwork() {
        await sleep(0);
        yield chunk(1);
        throw new LatheError("FAILED_PRECONDITION", "search s-1 has no network yet", { reason: "NO_NETWORK" });
      },
    });
    let messages = 0;
    const read = async () => {
      for await (const _ of api.exportNetwork(anExport)) messages++;
    };
    expect(await failure(read())).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NO_NETWORK" });
    expect(messages).toBe(1);
  });

  it("waits for a slow reader, and ends its source when the reader leaves", async () => {
    let made = 0;
    let ended = false;
    const { api, rpc } = await discretizationAt({
      discretize: () => answer,
      async *exportNetwork() {
        try {
          for (; made < 1000; made++) {
            await sleep(0);
            yield chunk(100_000);
          }
        } finally {
          ended = true;
        }
      },
    });
    for await (const _ of api.exportNetwork(anExport)) {
      // The reader stays at the first message. The source makes no more once it has not moved over 20 calls on the same connection.
      for (let calls = 0, before = -1; calls < 20; calls = made === before ? calls + 1 : 0) {
        before = made;
        await api.discretize(anArchitecture);
      }
      expect(made).toBeLessThan(200);
      break;
    }
    await until(() => ended);
    const text = await rpc.metrics.registry.metrics();
    expect(text).toMatch(/grpc_server_handled_total\{.*grpc_method="ExportNetwork",grpc_code="Canceled"\} 1/);
  });

  it("ends the source of a reader that reads nothing for longer than the limit, and says so", async () => {
    let ended = false;
    const { api } = await discretizationAt(
      {
        async *exportNetwork() {
          try {
            for (;;) {
              await sleep(0);
              yield chunk(100_000);
            }
          } finally {
            ended = true;
          }
        },
      },
      { slowClientMs: 200 },
    );
    const read = async () => {
      for await (const _ of api.exportNetwork(anExport)) await until(() => ended);
    };
    expect(await failure(read())).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "CLIENT_TOO_SLOW" });
  });

  it("ends when the client cancels while it waits", async () => {
    let reason: unknown;
    const controller = new AbortController();
    const { api } = await discretizationAt({
      async *exportNetwork(_, { signal }) {
        yield chunk(1);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        reason = signal.reason;
      },
    });
    const read = async () => {
      for await (const _ of api.exportNetwork(anExport, { signal: controller.signal })) controller.abort();
    };
    expect((await failure(read())).code).toBe("CANCELLED");
    await until(() => reason !== undefined);
    expect(reason).toMatchObject({ code: "CANCELLED" });
  });
});

describe("a stopping server", () => {
  it("lets unary calls finish and ends streams with UNAVAILABLE", async () => {
    let finish = () => {};
    const streamEnded = new Promise<void>((resolve) => (finish = resolve));
    let entered = false;
    const { api, rpc } = await discretizationAt({
      discretize: async () => {
        entered = true;
        await streamEnded;
        return answer;
      },
      async *exportNetwork(_, { signal }) {
        yield chunk(1);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    const unary = api.discretize(anArchitecture);
    await until(() => entered);
    let stopped: Promise<void> | undefined;
    const read = async () => {
      for await (const _ of api.exportNetwork(anExport)) stopped = opened.pop()?.stopServer(PATIENCE_MS);
    };
    expect(await failure(read())).toMatchObject({ code: "UNAVAILABLE", reason: "SERVER_STOPPING" });
    finish();
    await expect(unary).resolves.toEqual(answer);
    await stopped;
    await rpc.stop();
  });

  it("cuts calls that overrun", async () => {
    let entered = false;
    const { api, rpc } = await discretizationAt({
      discretize: () => {
        entered = true;
        return new Promise(() => {});
      },
    });
    const call = failure(api.discretize(anArchitecture));
    await until(() => entered);
    opened.pop();
    await rpc.stopServer(50);
    expect((await call).code).toBe("UNAVAILABLE");
    await rpc.stop();
  });
});

it("refuses to listen beyond loopback without TLS", async () => {
  const error = await failure(serve({}, { host: "0.0.0.0" }));
  expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "TLS_REQUIRED" });
  expect(error.message).toContain("LATHE_GRPC_INSECURE=1");
});

it.each([
  ["127.0.0.1", true],
  ["127.8.0.1", true],
  ["::1", true],
  ["localhost", true],
  ["0.0.0.0", false],
  ["::", false],
  ["127.0.0.1.example.org", false],
])("%s is loopback: %s", (host, expected) => expect(isLoopback(host)).toBe(expected));

it("fails with the number of a port that is taken", async () => {
  const { port } = await serve({});
  const error = await failure(serve({}, { port }));
  expect(error.message).toContain(`gRPC cannot listen on 127.0.0.1:${port}`);
});
