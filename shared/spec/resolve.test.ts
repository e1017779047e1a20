import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../process/errors";
import { packageRoot } from "../process/root";
import { CostMetric } from "../proto/lathe/v1/space";
import { AlgorithmKind, BudgetPolicy, DatasetKind, SearchSpec } from "../proto/lathe/v1/spec";
import { streetsInfo } from "../data/streets/classes";
import { macsTable, smallestGenotype } from "../space/cost";
import { isMember } from "../space/genotype";
import { PRESETS } from "./bounds";
import { parseGenotype } from "./parse";
import { presetSpec } from "./presets";
import { DATASET_CLASSES, resolve } from "./resolve";

function faults(spec: object): string[] {
  try {
    resolve(SearchSpec.fromPartial(spec));
  } catch (error) {
    expect(error).toBeInstanceOf(LatheError);
    expect((error as LatheError).code).toBe("INVALID_ARGUMENT");
    return (error as LatheError).violations.map(({ field }) => field);
  }
  return [];
}

const FOLDER = { dataset: { path: "/d" } };
const given = (preset: string) => ({ preset, ...(preset !== "tiny" && FOLDER) });

describe("presets", () => {
  it.each(PRESETS)("%s resolves, and resolving again or by way of JSON changes nothing", (preset) => {
    const once = resolve(SearchSpec.fromPartial(given(preset)));
    expect(resolve(once.spec)).toEqual(once);
    expect(resolve(SearchSpec.fromJSON(SearchSpec.toJSON(once.spec)))).toEqual(once);
    expect(resolve(SearchSpec.decode(SearchSpec.encode(once.spec).finish()))).toEqual(once);
    expect(once.space.classes).toBe(DATASET_CLASSES.get(once.spec.dataset.kind));
    expect(once.space.stages).toEqual(presetSpec(preset).space.stages);
  });

  it("paper has the paper's sizes and rates", () => {
    const { spec, space } = resolve(SearchSpec.fromPartial({ preset: "paper", dataset: { path: "/d" } }));
    expect(space).toMatchObject({ inputHeight: 512, inputWidth: 1024, stemChannels: 16, classes: 19, scales: [1, 2] });
    expect(space.stages[0]?.widths).toEqual([32, 36, 40, 44, 48, 52, 56, 60, 64]);
    expect(space.stages[1]).toMatchObject({ channels: 128, minDepth: 1, maxDepth: 12, dropout: 0.3 });
    expect(spec.training).toMatchObject({ epochs: 200, batchSize: 6, weightLearningRate: 3e-4, alphaLearningRate: 0 });
    expect(spec.retraining).toMatchObject({ epochs: 300, learningRate: 5e-4, pyramidChannels: 40, dropout: 0.1 });
    expect(spec.augmentation).toMatchObject({ flip: 0.5, shift: 2, scaleMin: 1, scaleMax: 1, brightness: 0 });
  });

  const examples = join(packageRoot(), "docs/examples/networks");
  it.each(readdirSync(examples))("paper holds the network of docs/examples/networks/%s", (name) => {
    const genotype = parseGenotype(readFileSync(join(examples, name), "utf8"), name);
    const { space } = resolve(SearchSpec.fromPartial({ preset: "paper", dataset: { path: "/d" } }));
    expect(isMember(space, genotype)).toBe(true);
  });

  it("paper is too shallow for the paper's network with the 5 + 8 blocks of the authors' search code", () => {
    const genotype = parseGenotype(readFileSync(join(examples, "paper.json"), "utf8"), "paper.json");
    const { space } = resolve(SearchSpec.fromPartial({ preset: "paper", dataset: { path: "/d" } }));
    const stages = space.stages.map((stage, index) => (index === 1 ? { ...stage, maxDepth: 8 } : stage));
    expect(isMember({ ...space, stages }, genotype)).toBe(false);
  });

  it("are new objects on each call", () => {
    presetSpec("paper").space.stages.length = 0;
    expect(presetSpec("paper").space.stages).toHaveLength(2);
    expect(() => presetSpec("huge")).toThrow('"huge" is unknown, must be one of tiny, small, medium, large, paper');
  });

  it("count as many classes as the streets draw", () => {
    expect(DATASET_CLASSES.get(DatasetKind.DATASET_KIND_STREETS)).toBe(streetsInfo.classes.length);
  });
});

describe("resolve", () => {
  it("overrides the preset by set fields, including zeros and false, and replaces whole lists", () => {
    const { spec, space } = resolve(
      SearchSpec.fromPartial({
        preset: "tiny",
        space: { dilations: [1, 8], inputHeight: 96 },
        regularization: { rampFrom: 0 },
        retraining: { epochs: 0, inheritWeights: true },
        cost: { metric: CostMetric.COST_METRIC_LATENCY },
        seed: 0,
        labels: { team: "a" },
      }),
    );
    expect(space.dilations).toEqual([1, 8]);
    expect([space.inputHeight, space.inputWidth]).toEqual([96, 128]);
    expect(spec.regularization).toMatchObject({ rampFrom: 0, rampTo: 61, operation: 30 });
    expect(spec.retraining).toMatchObject({ epochs: 0, inheritWeights: true, batchSize: 8 });
    expect(spec.cost).toMatchObject({ metric: CostMetric.COST_METRIC_LATENCY, target: 0.6 });
    expect(spec.shrinking.atBudgetEnd).toBe(BudgetPolicy.BUDGET_POLICY_ARGMAX);
    expect(spec.seed).toBe(0);
    expect(spec.labels).toEqual({ team: "a" });
  });

  it("inherits the search's weights in preset medium, unless the network is given or the spec says otherwise", () => {
    const dataset = { kind: DatasetKind.DATASET_KIND_STREETS };
    const inherits = (spec: object): boolean =>
      resolve(SearchSpec.fromPartial({ dataset, ...spec })).spec.retraining.inheritWeights;
    expect(PRESETS.filter((preset) => inherits({ preset }))).toEqual(["medium"]);
    expect(inherits({ preset: "medium", retraining: { inheritWeights: false } })).toBe(false);
    expect(inherits({ preset: "small", retraining: { inheritWeights: true } })).toBe(true);
    const { space } = resolve(SearchSpec.fromPartial({ preset: "medium", dataset }));
    const genotype = smallestGenotype(space, macsTable(space));
    expect(inherits({ preset: "medium", algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype } })).toBe(
      false,
    );
  });

  it("asks for one pyramid in search and retraining, where the search retrains", () => {
    const dataset = { kind: DatasetKind.DATASET_KIND_STREETS };
    const searched = (spec: object) => resolve(SearchSpec.fromPartial({ dataset, ...spec })).space.pyramidChannels;
    expect(PRESETS.map((preset) => searched({ preset }))).toEqual([0, 0, 0, 0, 0]);
    expect(searched({ preset: "medium", space: { pyramidChannels: 16 } })).toBe(16);
    const other = { preset: "medium", dataset, retraining: { pyramidChannels: 40 } };
    expect(faults(other)).toEqual([]);
    expect(faults({ ...other, space: { pyramidChannels: 16 } })).toEqual(["space.pyramid_channels"]);
    expect(faults({ ...other, space: { pyramidChannels: 40 } })).toEqual([]);
    expect(faults({ ...other, space: { pyramidChannels: 16 }, retraining: { epochs: 0 } })).toEqual([]);
    expect(faults({ ...other, space: { pyramidChannels: 1025 } })).toEqual(["space.pyramid_channels"]);
  });

  it("retrains a given network with the pyramid that it was found with", () => {
    const dataset = { kind: DatasetKind.DATASET_KIND_CAMVID, path: "/data/camvid" };
    const { space } = resolve(SearchSpec.fromPartial({ preset: "medium", dataset, space: { pyramidChannels: 16 } }));
    const genotype = { ...smallestGenotype(space, macsTable(space)), pyramidWidth: 4 };
    const given = (retraining = {}, ofSpace = {}) => ({
      ...{ preset: "tiny", dataset, retraining, space: ofSpace },
      algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype },
    });
    const { retraining } = resolve(SearchSpec.fromPartial(given())).spec;
    expect(retraining.pyramidChannels).toBe(16);
    expect(faults(given({ pyramidChannels: 40 }))).toEqual(["retraining.pyramid_channels"]);
    expect(faults(given({}, { headWidths: { pyramid: [8, 16] } }))).toEqual(["algorithm.genotype"]);
  });

  it("names ten faults at once", () => {
    const spec = {
      preset: "gigantic",
      dataset: { kind: DatasetKind.DATASET_KIND_STREETS, path: "/data", trainExamples: 0 },
      space: {
        inputHeight: 100,
        stages: [
          { channels: 16, minDepth: 3, maxDepth: 2, widths: [8, 16], dropout: 0 },
          { channels: 32, minDepth: 1, maxDepth: 2, widths: [16, 24], dropout: 0 },
        ],
        stemChannels: 8,
      },
      training: { batchSize: 0, weightLearningRate: Number.NaN },
      shrinking: { threshold: 1 },
      seed: -1,
    };
    expect(faults(spec).sort()).toEqual([
      "dataset.path",
      "dataset.train_examples",
      "preset",
      "seed",
      "shrinking.threshold",
      "space.input_height",
      "space.stages[0].min_depth",
      "space.stages[1].widths",
      "training.batch_size",
      "training.weight_learning_rate",
    ]);
  });

  it.each([
    [{ preset: "" }, "preset"],
    [{ dataset: { kind: 9 as DatasetKind, path: "/d" }, space: { classes: 4 } }, "dataset.kind"],
    [{ dataset: { kind: DatasetKind.DATASET_KIND_CAMVID } }, "dataset.path"],
    [{ dataset: { kind: DatasetKind.DATASET_KIND_CAMVID, path: "/d", trainExamples: 5 } }, "dataset.train_examples"],
    [{ dataset: { kind: DatasetKind.DATASET_KIND_CITYSCAPES, path: "/d" }, space: { classes: 18 } }, "space.classes"],
    [{ dataset: { kind: DatasetKind.DATASET_KIND_FOLDER, path: "/d" } }, "space.classes"],
    [{ training: { epochs: 4, warmupEpochs: 4 } }, "training.warmup_epochs"],
    [{ training: { epochs: 4 }, shrinking: { firstEpoch: 5 } }, "shrinking.first_epoch"],
    [{ training: { epochs: 2.5 } }, "training.epochs"],
    [{ shrinking: { atBudgetEnd: 9 as BudgetPolicy } }, "shrinking.at_budget_end"],
    [{ shrinking: { threshold: 0 } }, "shrinking.threshold"],
    [{ cost: { metric: 9 as CostMetric } }, "cost.metric"],
    [{ cost: { target: 1.1 } }, "cost.target"],
    [{ regularization: { rampTo: Infinity } }, "regularization.ramp_to"],
    [{ retraining: { dropout: 1 } }, "retraining.dropout"],
    [{ retraining: { epochs: 3, rateWarmupEpochs: 3.5 } }, "retraining.rate_warmup_epochs"],
    [{ retraining: { emaDecay: 1 } }, "retraining.ema_decay"],
    [{ retraining: { ohemThreshold: 0 } }, "retraining.ohem_threshold"],
    [{ augmentation: { flip: 1.5 } }, "augmentation.flip"],
    [{ augmentation: { scaleMin: 1.5 } }, "augmentation.scale_min"],
    [{ profiling: { deviceClass: "a.b" } }, "profiling.device_class"],
    [{ seed: 2 ** 32 }, "seed"],
    [{ labels: { ["k".repeat(64)]: "v" } }, `labels["${"k".repeat(63)}..."]`],
    [{ labels: { k: "v".repeat(64) } }, 'labels["k"]'],
    [{ labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, "v"])) }, "labels"],
  ])("names the field of %j", (change, field) => {
    expect(faults({ preset: "tiny", ...change })).toEqual([field]);
  });

  it("uses the number of classes that the client sets for a folder", () => {
    const dataset = { kind: DatasetKind.DATASET_KIND_FOLDER, path: "/d" };
    expect(resolve(SearchSpec.fromPartial({ preset: "small", dataset, space: { classes: 4 } })).space.classes).toBe(4);
  });
});
