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
  ...{ precision: "fp32", batchSize: 1, inputHeight: 360, inputWidth: 480, threads: 2 },
};
const point = (searchId: string, miou: number, ms: number, more = {}) => ({
  ...{ searchId, miou, p50Seconds: ms / 1000, p95Seconds: ms / 500, framesPerSecond: 1000 / ms },
  ...{ figures: { params: 33_000, macs: 10_000_000 }, ...more },
});
const front = ParetoFront.fromPartial({
  conditions,
  points: [
    point("s-1", 0.4, 10),
    point("s-2", 0.5, 20, { name: "two" }),
    point("s-3", 0.45, 30, { dominatedBy: "s-2" }),
  ],
});

describe("a front as text", () => {
  it("says on what data and how it was measured, once for all points", () => {
    const [miou, latency] = frontLines(front);
    expect(miou).toBe(
      "mIoU     validation split of camvid /data/camvid (fingerprint aa), networks as retrained over 11 classes",
    );
    expect(latency).toBe("latency  a processor (cpu), onnxruntime-node 1.30.0, fp32, batch 1, 360x480, 2 threads");
    const old = { retrained: false, miouClasses: 0, datasetSha256: "", datasetPath: "", datasetKind: 1, threads: 1 };
    const [before, one] = frontLines(ParetoFront.fromPartial({ conditions: old, points: [] }));
    expect(before).toContain("of streets (no fingerprint recorded), networks before retraining");
    expect(before).not.toContain("class");
    expect(one).toMatch(/1 thread$/);
  });

  it("has a row for each point, which names what dominates it", () => {
    expect(rowsOf(front)).toEqual([
      ["A", "s-1", "", "40.0 %", "10.00 ms", "20.00 ms", "100.0", "10.00 M", "33.00 k", ""],
      ["B", "s-2", "two", "50.0 %", "20.00 ms", "40.00 ms", "50.0", "10.00 M", "33.00 k", ""],
      ["c", "s-3", "", "45.0 %", "30.00 ms", "60.00 ms", "33.3", "10.00 M", "33.00 k", "B two"],
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
    expect(rowsOf(found)[0]?.slice(4, 6)).toEqual(["10.00 ms unstable", "20.00 ms"]);
    expect(frontLines(found).at(-1)).toBe("  A unstable: the machine was busy");
  });

  it("has a plot of two points or more, in which none of the front is hidden", () => {
    const drawn = frontLines(front).slice(7);
    expect(drawn.join("\n")).toMatch(/50\.0 % \| +B[^]*c[^]*40\.0 % \|A[^]*p50 10\.00 ms +p50 30\.00 ms/);
    const { points } = front;
    const over = ParetoFront.fromPartial({
      conditions,
      points: [points[0]!, { ...points[2]!, miou: 0.4, p50Seconds: 0.01 }],
    });
    expect(frontLines(over).slice(6).join("")).not.toContain("b");
    expect(frontLines({ ...front, points: [points[0]!] })).toHaveLength(5);
  });
});

describe("a front as SVG", () => {
  it("has the front with its names, the dominated points, and how they were measured", () => {
    const svg = svgOf(paretoPlot(front, "pareto"));
    for (const text of ["at 360x480, 2 threads, a processor", "s-1", "two", "on the front", "dominated", "p50 (ms)"])
      expect(svg).toContain(text);
    // The names of dominated points would hide those of the front.
    expect(svg).not.toContain(">s-3<");
    const { points } = front;
    expect(svgOf(paretoPlot({ ...front, points: points.slice(0, 2) }, "pareto"))).not.toContain("dominated");
  });
});
