import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { writeManifest, writeFailure, type PlannedCell } from "../folder";
import { readCells } from "./cells";
import { plotsOf } from "./plots";
import { svgOf } from "../../plot/svg";
import { summarize } from "./summary";
import { writeReport } from "./write";

const folder = mkdtempSync(join(tmpdir(), "lathe-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A result.json as far as a report reads it. */
const result = (gap: number, more: Record<string, unknown> = {}) => ({
  decidedBy: "DECIDED_BY_SHRINKING",
  convergedEpoch: 22,
  candidatesLeft: 17,
  supernetMiou: 0.5,
  discreteMiou: 0.5 - gap,
  discretizationGap: gap,
  retrainedMiou: 0.55,
  retrainedBestEpoch: 3,
  figures: { params: "33000", macs: "10000000" },
  latency: { p50Seconds: 0.0015 },
  costRatio: 0.66,
  costTarget: 0.6,
  searchSeconds: 100,
  retrainingSeconds: 50,
  ...more,
});
const argmax = { decidedBy: "DECIDED_BY_ARGMAX", convergedEpoch: 0 };

const plan = (algorithm: string, seed: number): PlannedCell => ({
  name: `${algorithm}-s${seed}`,
  algorithm,
  target: 0.6,
  seed,
});
const grid = ["ssr", "darts", "random"].flatMap((algorithm) => [1, 2, 3].map((seed) => plan(algorithm, seed)));
const epochsCsv = "phase,epoch,loss,validation_miou\nsearch,1,2,0.1\nsearch,2,1,0.25\nretraining,1,1,0.9\n";

function finish(cell: string, content: object): void {
  mkdirSync(join(folder, cell));
  writeFileSync(join(folder, cell, "result.json"), JSON.stringify(content));
  writeFileSync(join(folder, cell, "epochs.csv"), epochsCsv);
}

let report: string;
let written: ReturnType<typeof writeReport>;
beforeAll(() => {
  writeManifest(folder, { name: "three", id: "1", cells: grid });
  finish("ssr-s1", result(0));
  finish("ssr-s2", result(0.002));
  finish("ssr-s3", result(0.01));
  finish("darts-s1", result(0.44, { ...argmax, retrainedMiou: 0.5, searchSeconds: 200 }));
  writeFailure(folder, "darts-s2", { search: "s-9", attempts: 1, message: 'search s-9 failed: "odd", it says' });
  // A search without a supernet has none of these values, whatever its result contains.
  finish("random-s1", result(0, { decidedBy: 3, discreteMiou: 0.3, trainingImages: 15360 }));
  finish("left-over", result(0));
  written = writeReport(folder, join(folder, "report"));
  report = readFileSync(join(folder, "report", "report.md"), "utf8");
});

describe("a report", () => {
  it("has a row per group with mean, sample standard deviation and worst value", () => {
    // Gaps 0, 0.2 and 1 points: mean 0.4, squares 0.16 + 0.04 + 0.36 = 0.56 over 2.
    expect(report).toContain(
      `| ssr | 3 of 3 | 50.0 ± 0.0 | 49.6 ± 0.5 | 0.40 ± ${Math.sqrt(0.28).toFixed(2)} | 1.00 | 55.0 ± 0.0 |`,
    );
    // One value has no deviation.
    expect(report).toContain("| darts | 1 of 3 | 50.0 | 6.0 | 44.00 | 44.00 | 50.0 |");
    expect(report).toContain("| random | 1 of 3 | – | 30.0 | – | – | 55.0 |");
    expect(report).toContain("| ssr | 3 of 3 | 33.0 ± 0.0 | 10.00 ± 0.00 | 0.660 ± 0.000 | 10.0 ± 0.0 | 1.50 ± 0.00 |");
    expect(report).toContain("| darts | 1 of 3 | – | 17.0 | – | 200.0 | 50.0 | 250.0 |");
    expect(report).toContain("| random | 1 of 3 | – | – | 15.4 | 100.0 | 50.0 | 150.0 |");
  });

  it("has the Pareto front of mIoU against latency over the cells", () => {
    const section = report.slice(report.indexOf("## mIoU against latency"), report.indexOf("## Cost of the search"));
    expect(section).toContain("networks as retrained. Latency: ");
    expect(section).toMatch(/\| A \| random-s1 \| random-s1 \| 55\.0 % \| 1\.50 ms \|/);
    // Cells of equal figures do not dominate each other.
    expect(section).toMatch(/\| D \| ssr-s3 .*\|  \|\n/);
    expect(section).toMatch(/\| e \| darts-s1 \| darts-s1 \| 50\.0 % .* A random-s1 \|/);
  });

  it("lists every cell without a result, with the reason", () => {
    expect(report).toContain("5 of 9 cells have a result, 1 failed, 3 are missing.");
    expect(report).toContain('- darts-s2: search s-9 failed: "odd", it says');
    expect(report).toContain("- darts-s3\n- random-s2\n- random-s3");
    expect(report).toContain("| darts-s2 | failed | – |");
    expect(report).toContain("| random-s3 | missing | – |");
    expect(report).toContain("not cells of this grid and are not included: left-over.");
    for (const { name } of grid) expect(report).toContain(`| ${name} |`);
  });

  it("has a CSV line per cell, with empty fields for missing results", () => {
    const csv = readFileSync(join(folder, "report", "report.csv"), "utf8")
      .trimEnd()
      .split("\n");
    const heads = csv[0]!.split(",");
    const value = (cell: string, column: string) =>
      csv.find((line) => line.startsWith(`${cell},`))!.split(",")[heads.indexOf(column)];
    expect(csv).toHaveLength(1 + grid.length);
    expect([value("ssr-s1", "gap_points"), value("random-s1", "gap_points"), value("darts-s3", "gap_points")]).toEqual([
      "0",
      "",
      "",
    ]);
    expect([value("ssr-s1", "macs"), value("ssr-s1", "target"), value("ssr-s1", "total_seconds")]).toEqual([
      "10000000",
      "0.6",
      "150",
    ]);
    expect(csv.find((line) => line.startsWith("darts-s2,"))).toMatch(/,"search s-9 failed: ""odd"", it says"$/);
  });

  it("names its files, which all exist, and shows the plots", () => {
    expect(written.files).toEqual([
      "report.md",
      "report.csv",
      "gap.svg",
      "miou-macs.svg",
      "epochs.svg",
      "seconds.svg",
      "cost-target.svg",
      "miou-latency.svg",
    ]);
    for (const file of written.files) expect(readFileSync(join(folder, "report", file)).length).toBeGreaterThan(100);
    for (const file of written.files.slice(2)) expect(report).toContain(`](${file})`);
  });

  it("is refused for a folder that is not an experiment folder", () =>
    expect(() => writeReport(join(folder, "ssr-s1"), folder)).toThrow("is not an experiment folder"));
});

describe("the results of a cell", () => {
  const cellWith = (content: object) => {
    const own = mkdtempSync(join(folder, "one-"));
    writeManifest(own, { name: "one", id: "1", cells: [plan("ssr", 1)] });
    mkdirSync(join(own, "ssr-s1"));
    writeFileSync(join(own, "ssr-s1", "result.json"), JSON.stringify(content));
    writeFileSync(join(own, "ssr-s1", "epochs.csv"), epochsCsv);
    return readCells(own)[0]!;
  };
  const resultsOf = (content: object) => cellWith(content).results!;

  it("are percent, points and milliseconds", () => {
    const results = resultsOf(result(0.01));
    expect(results).toMatchObject({ supernetMiou: 50, gap: 1, macs: 1e7, convergedEpoch: 22, totalSeconds: 150 });
    expect(results.costMiss).toBeCloseTo(10, 10);
    expect(results.latencyMs).toBeCloseTo(1.5, 10);
  });

  it("are undefined if a search has none", () => {
    const fixed = { retrainedMiou: 0.4, retrainedBestEpoch: 1, retrainingSeconds: 5 };
    expect(resultsOf(fixed)).toMatchObject({
      gap: undefined,
      discreteMiou: undefined,
      candidatesLeft: undefined,
      costRatio: undefined,
      searchSeconds: undefined,
    });
    const unretrained = result(0, { retrainedMiou: 0, retrainedBestEpoch: 0, retrainingSeconds: 0 });
    expect(resultsOf(unretrained)).toMatchObject({
      gap: 0,
      retrainedMiou: undefined,
      retrainingSeconds: undefined,
      totalSeconds: 100,
    });
    expect(resultsOf(result(0.4, argmax))).toMatchObject({ gap: 40, convergedEpoch: undefined });
  });

  it("per epoch come from the search", () =>
    expect(cellWith(result(0)).epochs).toEqual([
      { epoch: 1, miou: 10 },
      { epoch: 2, miou: 25 },
    ]));
});

describe("groups", () => {
  const cell = (algorithm: string, target: number, variant?: string) => ({
    ...plan(algorithm, 1),
    target,
    ...(variant !== undefined && { variant }),
    state: "missing" as const,
    epochs: [],
  });
  const labels = (cells: Parameters<typeof summarize>[0]) => summarize(cells).map(({ label }) => label);

  it("are named by their differences", () => {
    expect(labels([cell("ssr", 0.6), cell("darts", 0.6)])).toEqual(["ssr", "darts"]);
    expect(labels([cell("ssr", 0.2), cell("ssr", 0.6), cell("ssr", 0.6)])).toEqual([
      "ssr, target 0.2",
      "ssr, target 0.6",
    ]);
    expect(labels([cell("ssr", 0.6, "full"), cell("ssr", 0.6, "light")])).toEqual(["full", "light"]);
    expect(labels([cell("ssr", 0.6, "full"), cell("darts", 0.6, "full")])).toEqual(["ssr full", "darts full"]);
  });
});

describe("plots", () => {
  // Lathe reads no SVG: loading its images blocks all readers of libvips but two.
  beforeAll(() => sharp.unblock({ operation: ["VipsForeignLoadSvg"] }));

  it("have a point per cell with the result, and a line per course of epochs", () => {
    const plots = plotsOf(summarize(readCells(folder)));
    const points = (name: string) => {
      const series = plots.find((plot) => plot.name === name)!.option.series as { type: string; data: unknown[] }[];
      return series.flatMap(({ type, data }) => (type === "scatter" ? data : [])).length;
    };
    // Gaps: four cells and two means.
    expect(points("gap")).toBe(4 + 2);
    expect(points("miou-macs")).toBe(5);
    expect(points("seconds")).toBe(5);
    expect(points("cost-target")).toBe(5);
    expect(plots.find(({ name }) => name === "epochs")!.option.series).toHaveLength(5);
  });

  it("are valid SVG with their texts", async () => {
    for (const plot of plotsOf(summarize(readCells(folder)))) {
      const svg = svgOf(plot);
      expect(svg).toContain(plot.title);
      const { width, height, channels } = await sharp(Buffer.from(svg)).metadata();
      expect([width, height, channels]).toEqual([900, 480, 4]);
    }
    const gap = readFileSync(join(folder, "report", "gap.svg"), "utf8");
    for (const word of ["ssr", "darts", "gap (points of mIoU)", "mean"]) expect(gap).toContain(word);
    expect(gap).not.toContain("random");
  });

  it("are omitted if no cell has the result", () =>
    expect(plotsOf(summarize([{ ...plan("ssr", 1), state: "missing", epochs: [] }]))).toEqual([]));
});
