import type { BusInspection } from "../../../shared/events/inspect";
import { judgeAgreement } from "./agreement";
import { checkBus, judgeBus } from "./bus";
import { judgeClock } from "./clock";
import { findingLines, type Finding } from "./finding";
import { checkService, judgeDevice, type About } from "./service";

const well: BusInspection = {
  version: "2.10.22",
  jetstream: { bytes: 5e6, limit: 1e9 },
  streams: [{ name: "EVENTS", replicas: 1, faults: [] }],
  consumers: [{ name: "work-train", exists: true, pending: 3, inHand: 1, waiting: 0 }],
  refused: [],
  time: new Date(1_000_000),
};
const faults = (findings: readonly Finding[]) => findings.filter(({ level }) => level === "fault");
const judged = (change: Partial<BusInspection>) => faults(judgeBus({ ...well, ...change }, 1_000_000));

describe("NATS", () => {
  it("is well where nothing is wrong", () => {
    expect(judgeBus(well, 1_000_000).map(({ level }) => level)).toEqual(["ok", "ok", "ok", "ok", "ok", "ok"]);
  });

  it.each<[string, Partial<BusInspection>, string, RegExp]>([
    ["an old version", { version: "2.8.4" }, "nats", /2\.8\.4/],
    ["no JetStream", { jetstream: { off: "no responders" } }, "nats", /JetStream does not answer: no responders/],
    ["a clock ahead", { time: new Date(1_002_500) }, "nats", /2\.5 s ahead/],
    [
      "a missing stream",
      { streams: [{ name: "WORK", replicas: 0, faults: ["does not exist"] }] },
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

  it("that is nearly full is warned of", () => {
    const findings = judgeBus({ ...well, jetstream: { bytes: 95e7, limit: 1e9 } }, 1_000_000);
    expect(findings.find(({ level }) => level === "warning")?.found).toBe("950 MB stored of 1000 MB");
  });

  it("that is away is one fault", async () => {
    const [away, ...others] = await checkBus({ LATHE_NATS_URL: "nats://127.0.0.1:1" });
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
    ...change,
  });
  const agreed = (...abouts: [string, About][]) => judgeAgreement(new Map(abouts), "1.0.0");

  it("of one version and with the same data sets agree", () => {
    const dataFolder = { path: "/data", dataSets: ["camvid"] };
    const findings = agreed(["supernet", about({ dataFolder })], ["discretization", about({ dataFolder })]);
    expect(findings.map(({ level, found }) => [level, found])).toEqual([
      ["ok", "all are 1.0.0"],
      ["ok", "camvid in /data"],
    ]);
  });

  it("of two versions, or with data sets that differ, do not", () => {
    const findings = agreed(
      ["supernet", about({ dataFolder: { path: "/data", dataSets: ["camvid"] } })],
      ["discretization", about({ version: "0.9.0", dataFolder: { path: "/data", dataSets: [] } })],
    );
    expect(faults(findings).map(({ found }) => found)).toEqual([
      "discretization is 0.9.0; this command is 1.0.0",
      "supernet has camvid in /data, discretization has none in /data",
    ]);
  });

  it("that all differ from this command are a warning", () => {
    expect(agreed(["supernet", about({ version: "0.9.0" })])[0]?.level).toBe("warning");
  });

  it("that are away are faults with advice", async () => {
    const { findings, about: told } = await checkService(
      { name: "search", grpc: "127.0.0.1:1", http: "127.0.0.1:1" },
      {},
      500,
    );
    expect(told).toBeUndefined();
    expect(faults(findings)).toHaveLength(2);
    for (const { found, mend } of findings)
      expect([found, mend]).toEqual([expect.stringContaining("127.0.0.1:1"), expect.stringContaining("log")]);
  });

  it("without their device are a fault that says why", () => {
    const devices = [{ deviceClass: "cuda", name: "", provider: "", available: false, reason: "no driver" }];
    expect(judgeDevice("latency", "cuda", devices)).toMatchObject({
      level: "fault",
      found: "device cuda is not there: no driver",
    });
    expect(judgeDevice("latency", "cpu", [{ ...devices[0]!, deviceClass: "cpu", available: true }]).level).toBe("ok");
  });
});

test("a clock may be off by what an answer takes", () => {
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
