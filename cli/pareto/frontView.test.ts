import { ParetoFront } from "../../shared/proto/lathe/v1/pareto";
import { DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { frontLines, rowsOf } from "./frontView";
import { paretoPlot } from "../plot/pareto";
import { svgOf } from "../plot/svg";

const conditions = {
  ...{ datasetKind: DatasetKind.DATASET_KIND_CAMVID, datasetPath: "/data/camvid", datasetSha256: "aa" },
  ...{
    retrained: true,
    miouClasses: 11,
    device: "a processor",
    deviceClass: "cpu",
    runtime: "onnxruntime-node 1.30.0",
  },
  ...{ deviceKey: "0123456789abcdef", precision: "fp32", batchSize: 1, inputHeight: 360, inputWidth: 480, threads: 2 },
};
const point = (searchId: string, miou: number, ms: number, more = {}) => ({
  ...{
    searchId,
    miou,
    comparedSeconds: ms / 1000,
    calibrated: true,
    p50Seconds: ms / 900,
    p95Seconds: ms / 500,
    framesPerSecond: 1000 / ms,
  },
  ...{ figures: { params: 33_000, macs: 10_000_000 }, ...more },
});
const front = ParetoFront.fromPartial({
  conditions,
  calibrationReferenceSeconds: 0.001,
  points: [
    point("s-1", 0.4, 10),
    point("s-2", 0.5, 20, { name: "two" }),
    point("s-3", 0.45, 30, { dominatedBy: "s-2" }),
  ],
});

describe("a front as text", () => {
  it("says on what data and how it was measured, once for all points", () => {
    const [miou, latency, compared] = frontLines(front);
    expect(miou).toBe(
      "mIoU     validation split of camvid /data/camvid (fingerprint aa), networks as retrained over 11 classes",
    );
    expect(latency).toBe(
      "latency  a processor (cpu, key 0123456789ab), onnxruntime-node 1.30.0, fp32, batch 1, 360x480, 2 threads",
    );
    expect(compared).toBe("         calibrated p50, at 1.00 ms of the calibration network");
    const old = {
      retrained: false,
      miouClasses: 0,
      datasetSha256: "",
      datasetPath: "",
      datasetKind: 1,
      threads: 1,
      deviceKey: "",
    };
    const [before, one] = frontLines(ParetoFront.fromPartial({ conditions: old, points: [] }));
    expect(before).toContain("of streets (no fingerprint recorded), networks before retraining");
    expect(before).not.toContain("class");
    expect(one).toMatch(/1 thread$/);
  });

  it("has a row for each point, which names what dominates it", () => {
    expect(rowsOf(front)).toEqual([
      ["A", "s-1", "", "40.0 %", "10.00 ms", "11.11 ms", "20.00 ms", "100.0", "10.00 M", "33.00 k", ""],
      ["B", "s-2", "two", "50.0 %", "20.00 ms", "22.22 ms", "40.00 ms", "50.0", "10.00 M", "33.00 k", ""],
      ["c", "s-3", "", "45.0 %", "30.00 ms", "33.33 ms", "60.00 ms", "33.3", "10.00 M", "33.00 k", "B two"],
    ]);
    const many = ParetoFront.fromPartial({
      points: Array.from({ length: 28 }, (_, n) =>
        point(`s-${n}`, n / 100, n + 1, n === 27 ? { dominatedBy: "s-0" } : {}),
      ),
    });
    expect(
      rowsOf(many)
        .map(([mark]) => mark)
        .slice(24),
    ).toEqual(["Y", "Z", "*", "."]);
  });

  it("says which latencies are unstable, and why", () => {
    const shaky = point("s-1", 0.4, 10, { unstableBecause: ["the machine was busy"] });
    const found = ParetoFront.fromPartial({ conditions, points: [shaky] });
    expect(rowsOf(found)[0]?.slice(4, 6)).toEqual(["10.00 ms unstable", "11.11 ms"]);
    expect(frontLines(found).at(-1)).toBe("  A unstable: the machine was busy");
    expect(frontLines(found)[2]).toMatch(/; an unstable latency dominates no stable one$/);
  });

  it("says which latencies are calibrated", () => {
    const compared = (...calibrated: boolean[]) =>
      frontLines(
        ParetoFront.fromPartial({
          ...{ conditions, calibrationReferenceSeconds: 0.001 },
          points: calibrated.map((is, n) => point(`s-${n}`, 0.4, 10 + n, { calibrated: is })),
        }),
      );
    expect(compared(false, false)[2]).toBe("         p50 as measured: no latency is calibrated");
    expect(compared(false).at(-1)).toContain("10.00 ms");
    expect(compared(true, false)[2]).toBe(
      "         calibrated p50, at 1.00 ms of the calibration network; p50 as measured of B, which are not calibrated",
    );
    expect(compared(false, false).at(-1)).toMatch(/^ +latency 10\.00 ms +latency 11\.00 ms$/);
  });

  it("has a plot of two points or more, in which none of the front is hidden", () => {
    const drawn = frontLines(front).slice(8);
    expect(drawn.join("\n")).toMatch(/50\.0 % \| +B[^]*c[^]*40\.0 % \|A[^]*latency 10\.00 ms +latency 30\.00 ms/);
    const { points } = front;
    const over = ParetoFront.fromPartial({
      conditions,
      points: [points[0]!, { ...points[2]!, miou: 0.4, comparedSeconds: 0.01 }],
    });
    expect(frontLines(over).slice(7).join("")).not.toContain("b");
    expect(frontLines({ ...front, points: [points[0]!] })).toHaveLength(6);
  });
});

describe("a front as SVG", () => {
  it("has the front with its names, the dominated points, and how they were measured", () => {
    const svg = svgOf(paretoPlot(front, "pareto"));
    for (const text of [
      "at 360x480, 2 threads, a processor",
      "s-1",
      "two",
      "on the front",
      "dominated",
      "calibrated p50 (ms)",
    ])
      expect(svg).toContain(text);
    // The names of dominated points would hide those of the front.
    expect(svg).not.toContain(">s-3<");
    const { points } = front;
    expect(svgOf(paretoPlot({ ...front, points: points.slice(0, 2) }, "pareto"))).not.toContain("dominated");
    const shaky = { ...points[0]!, unstableBecause: ["busy"] };
    expect(svgOf(paretoPlot({ ...front, points: [shaky, ...points.slice(1)] }, "pareto"))).toContain(">unstable<");
  });
});
