import type { BusInspection } from "../../shared/events/inspect";
import { natsSchema, read } from "../../shared/process/config";
import { LatheError } from "../../shared/process/errors";
import { judgeAgreement } from "./agreement";
import { checkBus, judgeBus } from "./bus";
import { resolveHosts } from "./deployment";
import { checkEngines } from "./engines";
import { findingLines, judgeClock, type Finding } from "./finding";
import { checkService, judgeDevice, type About } from "./service";

const well: BusInspection = {
  version: "2.10.22",
  jetstream: { bytes: 5e6, limit: 1e9 },
  streams: [{ name: "EVENTS", replicas: 1, foreign: undefined, faults: [] }],
  consumers: [{ name: "work-train", exists: true, pending: 3, inHand: 1, waiting: 0 }],
  refused: [],
  faults: [],
  skewMs: 3,
};
const faults = (findings: readonly Finding[]) => findings.filter(({ level }) => level === "fault");
const judged = (change: Partial<BusInspection>) => faults(judgeBus({ ...well, ...change }));

describe("NATS", () => {
  it("has no faults if nothing is wrong", () => {
    expect(judgeBus(well).map(({ level }) => level)).toEqual(["ok", "ok", "ok", "ok", "ok", "ok"]);
  });

  it.each<[string, Partial<BusInspection>, string, RegExp]>([
    ["an old version", { version: "2.8.4" }, "nats", /2\.8\.4/],
    ["no JetStream", { jetstream: { off: "no responders" } }, "nats", /JetStream does not answer: no responders/],
    ["a clock ahead", { skewMs: 2500 }, "nats", /2\.5 s ahead/],
    [
      "a stream of another application",
      { streams: [{ name: "WORK", replicas: 1, foreign: "subjects orders.>", faults: ["subjects differ"] }] },
      "streams",
      /^WORK belongs to another application \(subjects orders\.>\)$/,
    ],
    [
      "a missing stream",
      { streams: [{ name: "WORK", replicas: 0, foreign: undefined, faults: ["does not exist"] }] },
      "streams",
      /^WORK: does/,
    ],
    [
      "a refused subject",
      { refused: [{ subject: "lathe.work.train", why: "denied" }] },
      "permissions",
      /^lathe\.work\.train: denied/,
    ],
    [
      "a consumer that nobody has made",
      { consumers: [{ name: "work-train", exists: false, pending: 0, inHand: 0, waiting: 0 }] },
      "consumers",
      /work-train does not exist/,
    ],
    [
      "work that nobody asks for",
      { consumers: [{ name: "work-train", exists: true, pending: 3, inHand: 0, waiting: 0 }] },
      "consumers",
      /work-train: 3 messages wait/,
    ],
  ])("has one fault, with advice, with %s", (_what, change, about, found) => {
    const found_ = judged(change);
    expect(found_).toEqual([
      {
        level: "fault",
        about,
        found: expect.stringMatching(found) as string,
        mend: expect.stringMatching(/\w+/) as string,
      },
    ]);
  });

  it("that is nearly full gives a warning", () => {
    const findings = judgeBus({ ...well, jetstream: { bytes: 95e7, limit: 1e9 } });
    expect(findings.find(({ level }) => level === "warning")?.found).toBe("950 MB stored of 1000 MB");
  });

  it("that does not answer is one fault", async () => {
    const [away, ...others] = await checkBus(read(natsSchema, { LATHE_NATS_URL: "nats://127.0.0.1:1" }));
    expect(others).toEqual([]);
    expect(away).toMatchObject({
      level: "fault",
      about: "nats",
      found: expect.stringContaining("127.0.0.1:1") as string,
    });
  });
});

describe("services", () => {
  const about = (change: Partial<About> = {}): About => ({
    service: "supernet",
    version: "1.0.0",
    time: "",
    engine: { engine: "onnxruntime", provider: "cpu", precision: "float32" },
    ...change,
  });
  const agreed = (...abouts: [string, About][]) =>
    judgeAgreement(
      abouts.map(([name, about]) => ({ target: { name }, about })),
      "1.0.0",
    );

  it("agree with the same version and data sets", () => {
    const dataFolders = [
      { path: "/data", dataSets: ["camvid"] },
      { path: "/more", dataSets: [] },
    ];
    const findings = agreed(["supernet", about({ dataFolders })], ["discretization", about({ dataFolders })]);
    expect(findings.filter(({ about }) => about === "versions" || about === "data sets")).toMatchObject([
      { level: "ok", found: "all that answer are 1.0.0" },
      { level: "ok", found: "camvid in /data; none in /more" },
    ]);
  });

  it("disagree with different versions or data sets", () => {
    const findings = agreed(
      ["supernet", about({ dataFolders: [{ path: "/data", dataSets: ["camvid"] }] })],
      ["discretization", about({ version: "0.9.0", dataFolders: [{ path: "/data", dataSets: [] }] })],
    );
    expect(faults(findings).map(({ found }) => found)).toEqual([
      "discretization is 0.9.0; this command is 1.0.0",
      "supernet has camvid in /data, discretization has none in /data",
    ]);
  });

  it("disagree if one has no data folder; an unreadable folder is reported elsewhere", () => {
    const dataFolders = [{ path: "/data", dataSets: ["camvid"] }];
    const none = about({ dataFolders: [] });
    const without = agreed(["supernet", about({ dataFolders })], ["discretization", none]);
    expect(faults(without).map(({ found }) => found)).toEqual([
      "supernet has camvid in /data, discretization has no folder",
    ]);
    const hanging = about({ dataFolders: [{ path: "/data", fault: "EIO" }] });
    expect(faults(agreed(["supernet", hanging], ["discretization", hanging]))).toEqual([]);
    expect(agreed(["supernet", none]).at(-1)).toMatchObject({ level: "warning", about: "data sets" });
    expect(agreed(["supernet", about()]).at(-1)).toMatchObject({
      level: "ok",
      found: "any folder of its machine (LATHE_DATA_FOLDER is not set)",
    });
  });

  it("give a warning if all have another version than this command", () => {
    expect(agreed(["supernet", about({ version: "0.9.0" })])[0]?.level).toBe("warning");
  });

  it("that do not answer are faults with advice", async () => {
    const { findings, about: told } = await checkService(
      { service: "search", name: "search", grpc: "127.0.0.1:1", http: "127.0.0.1:1" },
      {},
      500,
    );
    expect(told).toBeUndefined();
    expect(faults(findings)).toHaveLength(2);
    for (const { found, mend } of findings)
      expect([found, mend]).toEqual([expect.stringContaining("127.0.0.1:1"), expect.stringContaining("log")]);
  });

  it("report a token without TLS as a fault and do not end the report", async () => {
    const target = { service: "search", name: "search", grpc: "192.0.2.1:1", http: "127.0.0.1:1" } as const;
    const { findings } = await checkService(target, { token: "0123456789abcdef" }, 500);
    expect(findings[0]).toMatchObject({ level: "fault", found: expect.stringContaining("without TLS") as string });
  });

  it("are found by all addresses of their hosts", async () => {
    const hosts = { pattern: "local{service}.invalid", names: ["search", "latency-cuda"], grpcPort: 1, httpPort: 2 };
    const { targets, findings } = await resolveHosts(hosts);
    expect(targets).toEqual([]);
    expect(findings.map(({ level, about }) => [level, about])).toEqual([
      ["fault", "search"],
      ["fault", "latency-cuda"],
    ]);
    await expect(resolveHosts({ ...hosts, pattern: "lathe" })).rejects.toThrow("must hold {service}");
    await expect(resolveHosts({ ...hosts, names: ["trainer"] })).rejects.toThrow('--services names "trainer"');
  });

  it("without their device give a fault with the reason", () => {
    const devices = [
      { deviceClass: "cuda", name: "", provider: "", available: false, reason: "no driver", figures: undefined },
    ];
    expect(judgeDevice("latency", "cuda", devices)).toMatchObject({
      level: "fault",
      found: "device cuda is not available: no driver",
    });
    expect(judgeDevice("latency", "cpu", [{ ...devices[0]!, deviceClass: "cpu", available: true }]).level).toBe("ok");
  });
});

test("a clock may differ by the time of an answer", () => {
  expect([judgeClock("search", 900), judgeClock("search", -1100)].map(({ level }) => level)).toEqual(["ok", "fault"]);
});

test("a report has a line for each finding, and advice below a fault", () => {
  expect(
    findingLines([
      { level: "ok", about: "nats", found: "there", mend: "" },
      { level: "fault", about: "search", found: "away", mend: "start it" },
    ]),
  ).toEqual(["ok       nats    there", "FAULT    search  away", "                 mend: start it"]);
});

describe("the engines of this machine", () => {
  it("are run one by one, and a missing one is a warning with its cause", async () => {
    const findings = await checkEngines(({ engine, provider }) =>
      engine === "onnxruntime" && provider === "cpu"
        ? Promise.resolve("onnxruntime/cpu 1.30.0")
        : Promise.reject(new LatheError("FAILED_PRECONDITION", `engine ${engine}/${provider} is not available here`)),
    );
    expect(findings.map(({ level, found }) => [level, found])).toEqual([
      ["ok", "this machine runs onnxruntime/cpu 1.30.0"],
      ["warning", "engine onnxruntime/cuda is not available here"],
      ["warning", "engine onnxruntime/tensorrt is not available here"],
      ["warning", "engine tensorflow/cpu is not available here"],
      ["warning", "engine tensorflow/cuda is not available here"],
    ]);
    expect(findings[1]?.mend).toBe("needed only for LATHE_ENGINE=onnxruntime with LATHE_PROVIDER=cuda");
  });

  it("include the one that npm installs, wherever this runs", async () => {
    const [first] = await checkEngines();
    expect(first).toMatchObject({
      level: "ok",
      found: expect.stringMatching(/^this machine runs onnxruntime\/cpu \d/) as string,
    });
  });
});
