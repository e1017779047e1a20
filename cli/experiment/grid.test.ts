import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/root";
import { AlgorithmKind, DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { resolve } from "../../shared/spec/resolve";
import { checkCells } from "./check";
import { ALGORITHMS, parseExperiment } from "./definition";
import { cellsOf, isMeant } from "./grid";

const parse = (text: string) => parseExperiment(text, "grid.yaml");
const base = "base: {preset: tiny, cost: {weight: 5, target: 0.3}, labels: {team: roads}}";
const genotype = {
  inputHeight: 64,
  inputWidth: 128,
  classes: 11,
  stemChannels: 8,
  stages: [{ channels: 16, blocks: [{ dilation: 1, scale: 1, middleWidth: 8, outputWidth: 16 }] }],
};

describe("an experiment file", () => {
  it("is rejected with all faults at once, each with its path", () => {
    const faulty = `name: Not a name
base: {preset: tiny, sede: 1, training: {epochs: many}}
axes: {}
algorithms: [ssr, sgd]
seeds: [1, -1, 1]
targets: [1.5]
variants:
  logs: {}
  "no ssr": {regularization: 0}
`;
    expect(() => parse(faulty)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        violations: expect.arrayContaining(
          [
            "axes",
            "name",
            "base.sede",
            "base.training.epochs",
            "algorithms[1]",
            "seeds[1]",
            "seeds[2]",
            "targets[0]",
            "variants.logs",
            "variants.no ssr",
            "variants.no ssr.regularization",
          ].map((field) => expect.objectContaining({ field }) as unknown),
        ) as unknown,
      }) as Error,
    );
  });

  it.each([
    ["[1, 2]", "(top level) is [1,2], must be a mapping of name, base"],
    ["name: a", "base is not set"],
    [`${base}`, "name is not set"],
    [`name: a\n${base}\nseeds: 3`, "seeds is 3, must be a list of an integer"],
    [`name: a\n${base}\nvariants: []`, "variants is [], must be a mapping"],
    ["", "grid.yaml is empty, an experiment needs a name and a base"],
  ])("%j is refused", (text, why) => expect(() => parse(text)).toThrow(why));

  it("knows the algorithms that the contract knows", () =>
    expect(ALGORITHMS.get("darts")).toBe(AlgorithmKind.ALGORITHM_KIND_DARTS));
});

describe("a grid", () => {
  it("is the product of its axes, seeds slowest, and cells are named by these axes", () => {
    const cells = cellsOf(parse(`name: a\n${base}\nalgorithms: [ssr, darts]\nseeds: [1, 2]\ntargets: [0.2, 0.4]`));
    expect(cells.map(({ name }) => name)).toEqual([
      ...["ssr-t0.2-s1", "ssr-t0.4-s1", "darts-t0.2-s1", "darts-t0.4-s1"],
      ...["ssr-t0.2-s2", "ssr-t0.4-s2", "darts-t0.2-s2", "darts-t0.4-s2"],
    ]);
    const { spec } = cells[7]!;
    expect(spec).toMatchObject({ seed: 2, cost: { weight: 5, target: 0.4 } });
    expect(spec.algorithm?.kind).toBe(AlgorithmKind.ALGORITHM_KIND_DARTS);
    expect(spec.labels).toEqual({ team: "roads", experiment: "a", cell: "darts-t0.4-s2", algorithm: "darts" });
  });

  it("without axes is the base alone", () => {
    const [only, ...rest] = cellsOf(parse(`name: a\n${base}`));
    expect(rest).toEqual([]);
    expect(only).toMatchObject({ name: "base", spec: { cost: { weight: 5, target: 0.3 }, seed: undefined } });
    expect(only!.spec.labels.algorithm).toBe("ssr");
  });

  it("overrides the base by a variant field by field, lists as a whole, without changing other cells", () => {
    const text = `name: a\n${base}\nvariants: {full: , light: {cost: {target: 0.1}, space: {scales: [1]}}}`;
    const [full, light] = cellsOf(parse(text));
    expect(full).toMatchObject({ name: "full", spec: { cost: { weight: 5, target: 0.3 } } });
    expect(light).toMatchObject({ name: "light", spec: { cost: { weight: 5, target: 0.1 }, space: { scales: [1] } } });
    expect(light!.spec.labels.variant).toBe("light");
    const experiment = parse(
      "name: a\nbase: {space: {scales: [1, 2], stem_channels: 3}}\nvariants: {v: {space: {scales: [1]}}}",
    );
    expect(cellsOf(experiment)[0]!.spec.space).toMatchObject({ scales: [1], stemChannels: 3 });
    expect(experiment.base.space).toMatchObject({ scales: [1, 2] });
  });

  it("gives the genotype of its base only to the cells that train it", () => {
    const fixed = JSON.stringify({ preset: "tiny", algorithm: { kind: "fixed", genotype } });
    const cells = cellsOf(parse(`name: a\nbase: ${fixed}\nalgorithms: [fixed, darts]`));
    expect(cells.map(({ spec }) => spec.algorithm?.genotype !== undefined)).toEqual([true, false]);
  });

  it.each([
    ["ssr-s1", "ssr-s1", true],
    ["ssr-s1", "ssr-s10", false],
    ["ssr-*", "ssr-t0.2-s1", true],
    ["*-s1,darts-s2", "darts-s2", true],
    ["ssr-t0.2*", "ssr-t012", false],
  ])("--only %s means %s: %s", (pattern, cell, meant) => expect(isMeant(cell, pattern)).toBe(meant));
});

describe("the cells of a grid", () => {
  it("ask for one latency each: the searches for further ones would outlive their cell", () => {
    const text = "name: a\nbase: {preset: tiny, cost: {targets: [10ms, 20ms]}}\n";
    expect(() => checkCells(cellsOf(parse(text)), {}, "grid.yaml")).toThrow(
      "cost.targets has 2 entries, must have one in an experiment; write a variant for each",
    );
  });

  it("are all checked before anything starts; a shared fault is reported once", () => {
    const text = `name: a
base: {preset: tiny, training: {epochs: 0}}
seeds: [1, 2]
variants: {bad: {space: {scales: [3]}}, good: }
`;
    expect(() => checkCells(cellsOf(parse(text)), {}, "grid.yaml")).toThrow(
      expect.objectContaining({
        violations: expect.arrayContaining([
          { field: "training.epochs", description: "is 0, must be an integer between 1 and 10000 (in all 4 cells)" },
          expect.objectContaining({
            field: expect.stringMatching(/^space\.scales/) as string,
            description: expect.stringMatching(/\(in 2 of 4 cells: bad-s1, bad-s2\)$/) as string,
          }),
        ]) as unknown,
      }) as Error,
    );
  });

  it("all use the data set of the command line", () => {
    const cells = cellsOf(parse(`name: a\nbase: {preset: small}\nseeds: [1, 2]`));
    for (const { resolved } of checkCells(cells, { data: __dirname }, "grid.yaml"))
      expect(resolved.dataset).toMatchObject({ kind: DatasetKind.DATASET_KIND_CAMVID, path: __dirname });
  });
});

describe("the examples", () => {
  const folder = join(packageRoot(), "docs/examples/experiments");
  const read = (file: string) => cellsOf(parseExperiment(readFileSync(join(folder, file), "utf8"), file));

  it.each(readdirSync(folder))("%s resolves in every cell", (file) => {
    const preset = file === "medium.yaml" ? "medium" : "small";
    for (const { name, spec } of read(file))
      expect({ name, preset: resolve(spec).spec.preset }).toEqual({ name, preset });
  });

  it("ablations omit what their names say", () => {
    const spaces = new Map(read("ablations.yaml").map(({ name, spec }) => [name, resolve(spec).spec]));
    const full = spaces.get("full")!;
    const changed = (name: string) => {
      const { labels: _, ...spec } = spaces.get(name)!;
      return Object.keys(spec).filter(
        (key) => JSON.stringify(spec[key as keyof typeof spec]) !== JSON.stringify(full[key as keyof typeof full]),
      );
    };
    expect(["no-ssr", "no-shrinking", "fixed-depth", "fixed-width", "full-resolution"].map(changed)).toEqual([
      ["regularization"],
      ["shrinking"],
      ["space"],
      ["space"],
      ["space"],
    ]);
    expect(spaces.get("no-shrinking")!.shrinking.firstEpoch).toBe(full.training.epochs);
    for (const [index, stage] of full.space.stages.entries()) {
      const { maxDepth, channels } = stage;
      expect(spaces.get("fixed-depth")!.space.stages[index]).toEqual({ ...stage, minDepth: maxDepth });
      expect(spaces.get("fixed-width")!.space.stages[index]).toEqual({ ...stage, widths: [channels] });
    }
  });
});
