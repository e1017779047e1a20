import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ArtifactRef, DecidedBy } from "../../shared/proto/lathe/v1/result";
import {
  ConditionStatus,
  Search,
  SearchState,
  WatchSearchResponse,
  type DownloadArtifactRequest,
} from "../../shared/proto/lathe/v1/search";
import { ModelProto } from "../../shared/proto/onnx/onnx";
import { largestGenotype } from "../../shared/space/genotype";
import { describedSpec } from "../spec/specFlags";
import { downloadArtifacts } from "./download";
import { takeOutFolder } from "./folder";
import { openHistory } from "./history";
import { summaryLines, writeResultFolder } from "./resultFolder";

const root = mkdtempSync(join(tmpdir(), "lathe-result-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A network without nodes, which arrives in two chunks. */
const content = Buffer.from(
  ModelProto.encode(
    ModelProto.fromPartial({ graph: {}, metadataProps: [{ key: "classes", value: '["sky"]' }] }),
  ).finish(),
);
const artifact = (kind: string, change: Partial<ArtifactRef> = {}): ArtifactRef => ({
  object: `s-1/${kind}`,
  kind,
  sizeBytes: content.length,
  sha256: createHash("sha256").update(content).digest("hex"),
  mediaType: "application/octet-stream",
  ...change,
});
const api = {
  async *downloadArtifact(_: DownloadArtifactRequest) {
    yield await Promise.resolve({ chunk: content.subarray(0, 5) });
    yield { chunk: content.subarray(5) };
  },
};
const search = (artifacts: ArtifactRef[]) =>
  Search.fromPartial({
    id: "s-1",
    state: SearchState.SEARCH_STATE_SUCCEEDED,
    artifacts,
    result: {
      genotype: largestGenotype(describedSpec({ preset: "tiny" }).space),
      decidedBy: DecidedBy.DECIDED_BY_SHRINKING,
      convergedEpoch: 9,
      supernetMiou: 0.5,
      discreteMiou: 0.5,
      discreteMiouClasses: 6,
      discretizationGap: 0,
      retrainedMiou: 0.55,
      retrainedMiouClasses: 7,
      retrainedBestEpoch: 3,
      figures: { params: 12345, macs: 2_500_000 },
      latency: { device: "a CPU", p50Seconds: 0.002, p95Seconds: 0.003, framesPerSecond: 500, runs: 50, threads: 1 },
      log10SpaceStart: 26.01,
      candidatesStart: 172,
      candidatesLeft: 11,
      classScores: [{ name: "sky", iou: 0, occurs: true }],
    },
  });

/** A result folder with the history of a search. */
function newFolder(name: string): string {
  const folder = takeOutFolder(join(root, name));
  openHistory(folder).add(WatchSearchResponse.fromPartial({ sequence: 1 }));
  return folder;
}

describe("a result folder", () => {
  it("holds the artifacts, the genotype and every result with its method of measurement", async () => {
    const folder = newFolder("good");
    const found = search([artifact("network.onnx"), artifact("predictions/1.png"), artifact("checkpoint")]);
    const result = await writeResultFolder(api, found, folder);
    expect(result.files).toEqual([
      ...["MODEL_CARD.md", "SHA256SUMS", "epochs.csv", "genotype.json", "history.jsonl", "labels.txt", "network.onnx"],
      ...["predict.mjs", "predict.py", "predictions/1.png", "preprocess.json", "report.html", "result.json"],
      ...["triton/network/1/model.onnx", "triton/network/config.pbtxt"],
    ]);
    for (const file of result.files as string[]) expect(existsSync(join(folder, file))).toBe(true);
    expect(readFileSync(join(folder, "network.onnx"))).toEqual(content);
    const written = JSON.parse(readFileSync(join(folder, "result.json"), "utf8")) as Record<string, unknown>;
    // Zeros are figures too.
    expect(written).toMatchObject({ discretizationGap: 0, retrainedMiou: 0.55, classScores: [{ iou: 0 }] });
    const figures = Object.keys(written).filter((key) => typeof written[key] === "number");
    expect(Object.keys(written.measuredBy as object)).toEqual(expect.arrayContaining(figures));
    const summary = summaryLines(found, folder, ["a"]).join("\n");
    for (const shown of [
      "50.0 % over 6 classes",
      "55.0 % over 7 classes",
      "0.00 points",
      "12.35 k",
      "2.50 M",
      "2.00 ms / 3.00 ms",
      "500.0",
      "10^26.0",
      "172",
      "shrinking, after epoch 9",
    ])
      expect(summary).toContain(shown);
  });

  it("of a given network has no results of a search", async () => {
    const { result, ...rest } = search([artifact("network.onnx")]);
    const { genotype, retrainedMiou, retrainedMiouClasses, retrainedBestEpoch, figures, latency } = result!;
    const retrained = { retrainedMiou, retrainedMiouClasses, retrainedBestEpoch };
    const found = Search.fromPartial({
      ...rest,
      result: { genotype: genotype!, ...retrained, figures: figures!, latency: latency! },
    });
    const folder = newFolder("given");
    const written = await writeResultFolder(api, found, folder);
    expect(Object.keys(written.measuredBy as object)).toEqual([
      "retrainedMiou",
      "retrainedMiouClasses",
      "retrainedBestEpoch",
      "figures",
      "latency",
      "retrainingSeconds",
    ]);
    expect(written).toMatchObject({ retrainedMiou: 0.55, retrainingSeconds: 0 });
    for (const absent of ["discretizationGap", "supernetMiou", "candidatesLeft"])
      expect(written).not.toHaveProperty(absent);
    expect(summaryLines(found, folder).join("\n")).not.toMatch(/supernet|gap|candidates|space|decided/);
  });

  it("of a search that selects among networks says so and has no results of a supernet", async () => {
    const { result, ...rest } = search([artifact("network.onnx")]);
    const found = Search.fromPartial({
      ...rest,
      result: {
        ...result,
        ...{ decidedBy: DecidedBy.DECIDED_BY_SELECTION, supernetMiou: 0, convergedEpoch: 0, candidatesLeft: 0 },
        ...{ candidatesEvaluated: 40, trainingImages: 15360 },
      },
    });
    const written = await writeResultFolder(api, found, newFolder("selected"));
    for (const absent of ["discretizationGap", "supernetMiou", "candidatesLeft", "convergedEpoch"]) {
      expect(written).not.toHaveProperty(absent);
      expect(written.measuredBy).not.toHaveProperty(absent);
    }
    const summary = summaryLines(found, undefined).join("\n");
    expect(summary).toMatch(/decided by +selection among the networks evaluated/);
    expect(summary).toMatch(/networks evaluated +40; no supernet was cut, so there is no discretization gap/);
    expect(summary).toMatch(/search budget +15\.36 k training images/);
    expect(summary).not.toMatch(/points|supernet mIoU|candidates left/);
  });

  it.each([{ sha256: "0".repeat(64) }, { sizeBytes: 1 }])("refuses an artifact with a wrong %j", async (wrong) => {
    const folder = newFolder("bad");
    await expect(writeResultFolder(api, search([artifact("network.onnx", wrong)]), folder)).rejects.toThrow(
      `network.onnx of s-1 arrived with ${content.length} bytes`,
    );
    expect(readdirSync(folder)).toEqual(["epochs.csv", "history.jsonl", "logs"]);
  });

  it("holds the kept network of a cancelled search, and says where it comes from", async () => {
    const conditions = [{ type: "Kept", status: ConditionStatus.CONDITION_STATUS_TRUE, message: "the argmax" }];
    const found = Search.fromPartial({
      ...{ id: "s-1", state: SearchState.SEARCH_STATE_CANCELLED, conditions, artifacts: [artifact("derived.onnx")] },
      result: { ...search([]).result!, retrainedMiou: 0, retrainedBestEpoch: 0 },
    });
    const written = await writeResultFolder(api, found, newFolder("kept"));
    expect(written).toMatchObject({
      kept: "the argmax",
      files: expect.arrayContaining(["derived.onnx", "genotype.json", "report.html", "result.json"]) as unknown,
    });
    const summary = summaryLines(found, undefined).join("\n");
    expect(summary).toContain("search s-1, cancelled; kept: the argmax");
    // The time of the search and its budget are unknown before its end.
    expect(summary).not.toMatch(/search budget|retrained|^ +search /m);
    const nothing = { ...found, conditions: [] };
    expect(() => summaryLines(nothing, undefined)).toThrow("has no result");
  });

  it("is refused for a running search, whose record has incomplete results", async () => {
    const running = { ...search([]), state: SearchState.SEARCH_STATE_RUNNING };
    expect(() => summaryLines(running, undefined)).toThrow("search s-1 has no result: it has not succeeded yet");
    await expect(writeResultFolder(api, running, join(root, "none"))).rejects.toThrow("has no result");
  });

  it.each(["../evil", "/etc/passwd", "a/../../b", "", ".hidden"])("refuses the file name %j", (kind) =>
    expect(downloadArtifacts(api, "s-1", [artifact(kind)], root)).rejects.toThrow("is not a file name"),
  );

  it("names JSON as such", async () => {
    const folder = takeOutFolder(join(root, "named"));
    const genotype = artifact("genotype", { mediaType: "application/json" });
    expect(await downloadArtifacts(api, "s-1", [genotype], folder)).toEqual(["genotype.json"]);
  });
});

describe("folders of runs", () => {
  it("never overwrites existing files", () => {
    const wanted = join(root, "runs", "quickstart");
    expect([1, 2, 3].map(() => takeOutFolder(wanted))).toEqual([wanted, `${wanted}-2`, `${wanted}-3`]);
  });

  it("rejects a path that is a file", () => {
    const file = join(root, "file");
    writeFileSync(file, "");
    expect(() => takeOutFolder(file)).toThrow(`result folder ${file} cannot be made`);
  });
});

describe("history", () => {
  it("keeps every stored event and a row per epoch", () => {
    const folder = takeOutFolder(join(root, "history"));
    const history = openHistory(folder);
    const metrics = { epoch: 1, epochs: 2, weightLoss: 1.5, validationMiou: 0.25, seconds: 3 };
    history.add(
      WatchSearchResponse.fromPartial({ sequence: 1, event: { $case: "epochCompleted", value: { metrics } } }),
    );
    history.add(
      WatchSearchResponse.fromPartial({ sequence: 0, event: { $case: "trainingProgressed", value: { step: 1 } } }),
    );
    history.add(WatchSearchResponse.fromPartial({ sequence: 2, event: { $case: "spaceKept", value: { epoch: 1 } } }));
    const lines = readFileSync(join(folder, "history.jsonl"), "utf8").trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { sequence: number }).sequence)).toEqual([1, 2]);
    // An epoch of retraining that is not evaluated.
    const value = { epoch: 2, epochs: 3, loss: 0.5, bestMiou: 0.25, seconds: 4 };
    history.add(WatchSearchResponse.fromPartial({ sequence: 3, event: { $case: "retrainingEpochCompleted", value } }));
    const [head = "", ...rows] = readFileSync(join(folder, "epochs.csv"), "utf8").trim().split("\n");
    const cells = (row: string) =>
      ["phase", "loss", "validation_miou", "seconds"].map((name) => row.split(",")[head.split(",").indexOf(name)]);
    expect(rows.map(cells)).toEqual([
      ["search", "1.5", "0.25", "3"],
      ["retraining", "0.5", "", "4"],
    ]);
    expect(existsSync(join(folder, "logs"))).toBe(true);
  });
});
