import { LatheError } from "../process/errors";
import { AlgorithmKind, BudgetPolicy, DatasetKind, SearchSpec } from "../proto/lathe/v1/spec";
import { CostMetric, type Genotype } from "../proto/lathe/v1/space";
import { isMember } from "../space/genotype";
import { randomGenotype, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { givenGenotype, isSampling } from "./algorithm";
import { resolve } from "./resolve";

/** A genotype with the 11 classes of streets and CamVid. */
const genotype = randomGenotype(smallSpace({ classes: 11 }), uniform(5));
const kind = AlgorithmKind.ALGORITHM_KIND_FIXED;

type Changes = Parameters<typeof SearchSpec.fromPartial>[0];

const fixed = (change: Partial<Genotype> = {}, rest: Changes = {}) =>
  SearchSpec.fromPartial({ preset: "tiny", algorithm: { kind, genotype: { ...genotype, ...change } }, ...rest });

function faults(spec: SearchSpec): string[] {
  try {
    resolve(spec);
  } catch (error) {
    expect(error).toBeInstanceOf(LatheError);
    return (error as LatheError).violations.map(({ field }) => field);
  }
  return [];
}

describe("an algorithm", () => {
  it("is ssr unless the spec says otherwise", () => {
    const { spec } = resolve(SearchSpec.fromPartial({ preset: "tiny" }));
    expect(spec.algorithm).toEqual({ kind: AlgorithmKind.ALGORITHM_KIND_SSR, genotype: undefined });
    expect(givenGenotype(spec)).toBeUndefined();
  });

  it.each<[string, Changes, string]>([
    ["an unknown kind", { algorithm: { kind: 99 as AlgorithmKind } }, "algorithm.kind"],
    ["a fixed network that is not there", { algorithm: { kind } }, "algorithm.genotype"],
    ["a network that ssr would not use", { algorithm: { genotype } }, "algorithm.genotype"],
  ])("is refused with %s", (_what, change, field) => {
    expect(faults(SearchSpec.fromPartial({ preset: "tiny", ...change }))).toEqual([field]);
  });
});

describe("algorithms that draw networks", () => {
  const sampled = (kind: AlgorithmKind, changes: Changes = {}) =>
    SearchSpec.fromPartial({ preset: "tiny", algorithm: { kind }, ...changes });
  const { ALGORITHM_KIND_RANDOM: random, ALGORITHM_KIND_EVOLUTION: evolution } = AlgorithmKind;

  it.each([random, evolution])("resolve to their preset, and again to the same (%d)", (kind) => {
    const once = resolve(sampled(kind, { sampling: { evaluations: 30 } })).spec;
    expect(once.sampling).toEqual({
      candidates: 4,
      evaluations: 30,
      population: 10,
      tournament: 3,
      costTolerance: 0.05,
    });
    expect(resolve(once).spec).toEqual(once);
    expect([isSampling(once), isSampling(resolve(SearchSpec.fromPartial({ preset: "tiny" })).spec)]).toEqual([
      true,
      false,
    ]);
  });

  it.each<[string, AlgorithmKind, Changes, string[]]>([
    ["more networks than epochs", random, { sampling: { candidates: 31 } }, ["sampling.candidates"]],
    ["a population beyond the evaluations", evolution, { sampling: { population: 41 } }, ["sampling.population"]],
    ["a tournament beyond the population", evolution, { sampling: { tournament: 11 } }, ["sampling.tournament"]],
    ["no tolerance", random, { sampling: { costTolerance: 0 } }, ["sampling.cost_tolerance"]],
    ["a target below the smallest network", evolution, { cost: { target: 0.05 } }, ["cost.target"]],
    ["what only the other asks", random, { sampling: { population: 41 } }, []],
  ])("are refused with %s", (_what, kind, changes, fields) => {
    expect(faults(sampled(kind, changes))).toEqual(fields);
  });

  it("are not refused for a share of a latency, which is known once the operators are measured", () => {
    expect(faults(sampled(random, { cost: { target: 0.05, metric: CostMetric.COST_METRIC_LATENCY } }))).toEqual([]);
  });
});

describe("darts", () => {
  const spec = SearchSpec.fromPartial({
    preset: "tiny",
    training: { epochs: 12 },
    regularization: { operation: 7 },
    algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_DARTS },
  });

  it("has no regularization, removes nothing before the last epoch, and ends by argmax", () => {
    const { spec: resolved } = resolve(spec);
    expect(resolved.regularization).toMatchObject({ depth: 0, operation: 0, outputWidth: 0, middleWidth: 0 });
    expect(resolved.shrinking).toMatchObject({ firstEpoch: 12, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_ARGMAX });
  });

  it("is otherwise the same search, and resolving again changes nothing", () => {
    const once = resolve(spec);
    const ssr = resolve({ ...spec, algorithm: undefined });
    expect(once.spec).toMatchObject({ training: ssr.spec.training, cost: ssr.spec.cost, space: ssr.spec.space });
    expect(resolve(once.spec)).toEqual(once);
  });
});

describe("a fixed network", () => {
  it("is a search whose space is the network's, and resolving again changes nothing", () => {
    const once = resolve(fixed());
    expect(givenGenotype(once.spec)).toEqual(genotype);
    expect(isMember(once.space, genotype)).toBe(true);
    expect(once.space.stages.map(({ minDepth, maxDepth }) => [minDepth, maxDepth])).toEqual(
      genotype.stages.map(({ blocks }) => [blocks.length, blocks.length]),
    );
    expect(resolve(once.spec)).toEqual(once);
    expect(resolve(SearchSpec.fromJSON(SearchSpec.toJSON(once.spec)))).toEqual(once);
    expect(resolve(SearchSpec.decode(SearchSpec.encode(once.spec).finish()))).toEqual(once);
  });

  it("determines the number of classes of a folder", () => {
    const dataset = { kind: DatasetKind.DATASET_KIND_FOLDER, path: "/d" };
    expect(resolve(fixed({ classes: 4 }, { dataset })).space.classes).toBe(4);
    expect(faults(fixed({ classes: 4 }, { dataset, space: { classes: 5 } }))).toEqual(["algorithm.genotype.classes"]);
  });

  it.each<[string, SearchSpec, string[]]>([
    ["other classes than the data set's", fixed({ classes: 19 }), ["algorithm.genotype.classes"]],
    [
      "other sizes than the space's",
      fixed({}, { space: { inputHeight: 64, inputWidth: 128, stemChannels: 5 } }),
      ["input_height", "input_width", "stem_channels"].map((name) => `algorithm.genotype.${name}`),
    ],
    ["a space that does not hold it", fixed({}, { space: { dilations: [4] } }), ["algorithm.genotype"]],
    ["nothing to do", fixed({}, { retraining: { epochs: 0 } }), ["retraining.epochs"]],
    ["nothing to inherit", fixed({}, { retraining: { inheritWeights: true } }), ["retraining.inherit_weights"]],
    [
      "faults of its own, each under its path",
      fixed({
        inputWidth: 60,
        stages: [
          { channels: 8, blocks: [{ dilation: 65, scale: 3, middleWidth: 9, outputWidth: 0 }] },
          { channels: 5000, blocks: [] },
        ],
      }),
      [
        "stages[0].blocks[0].dilation",
        "stages[0].blocks[0].middle_width",
        "stages[0].blocks[0].output_width",
        "stages[0].blocks[0].scale",
        "stages[1].channels",
        "stages[1].blocks",
        "input_width",
      ].map((path) => `algorithm.genotype.${path}`),
    ],
    ["one stage", fixed({ stages: genotype.stages.slice(0, 1) }), ["algorithm.genotype.stages"]],
  ])("is refused with %s", (_what, spec, expected) => {
    expect(faults(spec)).toEqual(expected);
  });
});
