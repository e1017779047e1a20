import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EpochCompleted } from "../../shared/proto/lathe/v1/events";
import { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { foundModel } from "./resultFolder";

const folder = mkdtempSync(join(tmpdir(), "lathe-model-"));
afterAll(() => rmSync(folder, { recursive: true }));

const content = {
  ...{ search: "s-1", files: ["network.onnx"], dataset: { sha256: "aa" } },
  spec: { preset: "small", dataset: { kind: "DATASET_KIND_CAMVID", path: "/data/camvid" } },
};

/** A folder with these files. */
function written(name: string, files: Record<string, string>): string {
  mkdirSync(join(folder, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, name, file), text);
  return join(folder, name);
}

describe("the model of an argument", () => {
  it("is the network of a result folder, with its spec and the data of its search", () => {
    const result = written("result", {
      "result.json": JSON.stringify(content),
      "network.onnx": "",
      "derived.onnx": "",
    });
    expect(foundModel(result)).toMatchObject({
      file: join(result, "network.onnx"),
      spec: { preset: "small", dataset: { path: "/data/camvid" } },
      recorded: { sha256: "aa" },
    });
    const searched = written("searched", { "result.json": JSON.stringify(content), "derived.onnx": "" });
    expect(foundModel(searched).file).toBe(join(searched, "derived.onnx"));
    const files = { "derived.onnx": "", "repaired-2.onnx": "", "repaired-10.onnx": "" };
    const repaired = written("repaired", { "result.json": JSON.stringify(content), ...files });
    expect(foundModel(repaired).file).toBe(join(repaired, "repaired-10.onnx"));
    for (const [chosenRepair, file] of [
      [2, "repaired-2.onnx"],
      [0, "derived.onnx"],
      [10, "repaired-10.onnx"],
    ] as const) {
      const json = JSON.stringify({ ...content, target: { targetSeconds: 1, chosenRepair } });
      const chosen = written(`chosen-${chosenRepair}`, { "result.json": json, ...files });
      expect(foundModel(chosen).file).toBe(join(chosen, file));
    }
  });

  it("is a file with the data of its search, where it lies in a result folder that lists it", () => {
    const result = written("listed", { "result.json": JSON.stringify(content), "network.onnx": "" });
    const own = join(result, "network.onnx");
    expect(foundModel(own)).toEqual({ file: own, recorded: expect.objectContaining({ sha256: "aa" }) as unknown });
    const other = join(result, "other.onnx");
    expect(foundModel(other)).toEqual({ file: other, recorded: undefined });
  });

  it("has the data of the first epoch, where the history tells its files apart", () => {
    const dataset = { sha256: "aa", train: { examples: 1, files: "AAAA" } };
    const event = { $case: "epochCompleted" as const, value: EpochCompleted.fromPartial({ dataset }) };
    const line = JSON.stringify(WatchSearchResponse.toJSON(WatchSearchResponse.fromPartial({ sequence: 1, event })));
    const files = { "result.json": JSON.stringify(content), "network.onnx": "", "history.jsonl": `${line}\n` };
    expect(foundModel(written("history", files)).recorded?.train?.files).toBe("AAAA");
  });

  it.each([
    ["a folder without a result", "empty", {}, "no result.json"],
    ["a result of another program", "foreign", { "result.json": '{"score":1}', "network.onnx": "" }, "no result.json"],
    [
      "a result without a network",
      "bare",
      { "result.json": JSON.stringify(content) },
      "no network.onnx and no derived.onnx",
    ],
  ])("is none in %s", (_, name, files, missing) => {
    const path = written(name, files);
    expect(() => foundModel(path)).toThrow(
      `${path} has ${missing}: name an ONNX file, or the result folder of a search`,
    );
  });
});
