import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../process/errors";
import { packageRoot } from "../process/root";
import { AlgorithmKind, DatasetKind, SearchSpec } from "../proto/lathe/v1/spec";
import { PRESETS } from "./bounds";
import { parseGenotype, parseSpec } from "./parse";
import { resolve } from "./resolve";

function thrown(text: string): LatheError {
  try {
    parseSpec(text, "spec.yaml");
  } catch (error) {
    return error as LatheError;
  }
  throw new Error(`nothing was thrown for ${text}`);
}

describe("parseSpec", () => {
  it.each(PRESETS)("reads docs/examples/%s.yaml, which resolves to its preset", (preset) => {
    const text = readFileSync(join(packageRoot(), "docs/examples", `${preset}.yaml`), "utf8");
    const { spec } = resolve(parseSpec(text, `${preset}.yaml`));
    const { spec: expected } = resolve(SearchSpec.fromPartial({ preset, dataset: { path: spec.dataset.path } }));
    // The examples repeat values for a reader to change, so they must not drift from the preset.
    for (const section of ["training", "regularization", "shrinking", "cost", "retraining", "profiling"] as const)
      expect(spec[section]).toEqual(expected[section]);
    expect(spec.preset).toBe(preset);
    expect(spec.dataset.kind).toBe(expected.dataset.kind);
  });

  it("accepts snake_case and lowerCamelCase keys, short and full enum values, YAML and JSON", () => {
    const yaml = `
preset: tiny
dataset: { kind: streets, train_examples: 64 }
space:
  stages: [{ channels: 16, min_depth: 1, max_depth: 2, widths: [8, 16] }]
shrinking:
training: { weight_learning_rate: 1.0e-3 }
labels: { team: vision }
`;
    const json = JSON.stringify({
      preset: "tiny",
      dataset: { kind: "DATASET_KIND_STREETS", trainExamples: 64 },
      space: { stages: [{ channels: 16, minDepth: 1, maxDepth: 2, widths: [8, 16] }] },
      training: { weightLearningRate: 0.001 },
      labels: { team: "vision" },
    });
    const parsed = parseSpec(yaml, "a.yaml");
    expect(parsed).toEqual(parseSpec(json, "a.json"));
    expect(parsed.dataset).toMatchObject({ kind: DatasetKind.DATASET_KIND_STREETS, trainExamples: 64 });
    expect(parsed.space?.stages[0]).toEqual({ channels: 16, minDepth: 1, maxDepth: 2, widths: [8, 16], dropout: 0 });
    expect(parsed.shrinking).toBeUndefined();
    expect(parsed.training?.weightLearningRate).toBe(0.001);
    expect(parsed.labels).toEqual({ team: "vision" });
  });

  it("reads back every field of a resolved spec", () => {
    const { spec } = resolve(SearchSpec.fromPartial({ preset: "tiny", labels: { a: "b" } }));
    expect(parseSpec(JSON.stringify(SearchSpec.toJSON(spec)), "resolved.json")).toEqual(spec);
  });

  it("names all unknown fields, known fields and wrong types at once", () => {
    const error = thrown(`
preset: 7
epochs: 3
dataset: { kind: kitti }
space: { dilations: [1, two], stages: 2, input_height: 64.5 }
training: { epoch: 3, batch_size: "4", batchSize: 4, weight_decay: .nan }
retraining: { inherit_weights: 1 }
seed: -1
labels: { a: 1 }
cost: [macs]
`);
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "INVALID_SPEC" });
    expect(error.violations.map(({ field }) => field)).toEqual([
      "preset",
      "epochs",
      "dataset.kind",
      "space.dilations[1]",
      "space.stages",
      "space.input_height",
      "training.epoch",
      "training.batch_size",
      "training.batch_size",
      "training.weight_decay",
      "retraining.inherit_weights",
      "seed",
      'labels["a"]',
      "cost",
    ]);
    const about = (field: string): string => error.violations.find((v) => v.field === field)?.description ?? "";
    expect(about("training.epoch")).toMatch(/^is 3, but there is no such field; known: epochs, batch_size, /);
    expect(about("dataset.kind")).toBe('is "kitti", must be one of streets, camvid, cityscapes, folder');
    expect(about("space.dilations[1]")).toBe('is "two", must be an integer of 32 bits');
    expect(error.message).toContain("spec.yaml has 14 faults");
  });

  it.each([
    ["dataset: {kind: [", /^spec\.yaml:1:\d+ is not YAML or JSON/],
    ["preset: tiny\npreset: small", /^spec\.yaml:2:1 .*unique/],
    ["preset: *nothing", /^spec\.yaml cannot be read/],
    ["preset: !odd tiny", /^spec\.yaml:1:9 .*!odd/],
    ["", /^spec\.yaml is empty/],
    ["# only a comment", /^spec\.yaml is empty/],
    ["- tiny", /\(top level\) is \["tiny"\], must be a mapping/],
    ["tiny", /\(top level\) is "tiny"/],
    ["__proto__: { preset: tiny }", /__proto__ .*no such field/],
    ["labels: { __proto__: x }", /labels\["__proto__"\] has a reserved key/],
    ["x".repeat(1_000_001), /1000001 characters/],
  ])("refuses %j", (text, message) => {
    const error = thrown(text);
    expect(error).toBeInstanceOf(LatheError);
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.message).toMatch(message);
  });

  it("refuses a text whose aliases expand endlessly", () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i <= 8; i++)
      lines.push(
        `a${i}: &a${i} [${Array<string>(9)
          .fill(`*a${i - 1}`)
          .join(", ")}]`,
      );
    expect(thrown(lines.join("\n")).message).toMatch(/^spec\.yaml cannot be read/);
  });
});

describe("parseGenotype", () => {
  const thrownBy = (text: string) => {
    try {
      parseGenotype(text, "genotype.json");
    } catch (error) {
      return error as LatheError;
    }
    throw new Error(`nothing was thrown for ${text}`);
  };

  it("reads proto JSON and snake_case alike", () => {
    const camel = '{"inputHeight": 64, "stages": [{"channels": 16, "blocks": [{"dilation": 2, "middleWidth": 8}]}]}';
    const snake = "input_height: 64\nstages: [{channels: 16, blocks: [{dilation: 2, middle_width: 8}]}]";
    expect(parseGenotype(camel, "a.json")).toEqual(parseGenotype(snake, "a.yaml"));
    expect(parseGenotype(camel, "a.json").stages[0]?.blocks[0]).toMatchObject({ dilation: 2, middleWidth: 8 });
  });

  it("reads the genotype of a spec with a fixed network", () => {
    const genotype = "{input_height: 64, stages: [{channels: 16, blocks: [{scale: 2}]}]}";
    const { algorithm } = parseSpec(`algorithm: {kind: fixed, genotype: ${genotype}}`, "spec.yaml");
    expect(algorithm).toEqual({
      kind: AlgorithmKind.ALGORITHM_KIND_FIXED,
      genotype: parseGenotype(genotype, "genotype.yaml"),
    });
  });

  it("names every unknown field and wrong type, and the contents that an empty file needs", () => {
    const error = thrownBy('{"inputHeight": "64", "stages": [{"blocks": [{"width": 3}, 4]}], "preset": "tiny"}');
    expect(error.reason).toBe("INVALID_GENOTYPE");
    expect(error.violations.map(({ field }) => field)).toEqual([
      "input_height",
      "stages[0].blocks[0].width",
      "stages[0].blocks[1]",
      "preset",
    ]);
    expect(thrownBy("").message).toBe("genotype.json is empty, a genotype needs sizes and stages");
  });
});
