import { unpack } from "../engine/parameters";
import { relativeDifference } from "../engine/parity";
import { tf } from "../engine/tf";
import { Dimension, type Architecture, type Group, type SearchSpace } from "../proto/lathe/v1/space";
import { expectedCost as costByArithmetic, genotypeCost, macsTable } from "../space/cost";
import {
  group,
  initialArchitecture,
  middleId,
  operationId,
  operations,
  outputId,
  probabilities,
  ssr,
} from "../space/groups";
import { decidedArchitecture, keepSome, randomGenotype, smallSpace } from "../testing/networks";
import { randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { packAlphas, unpackAlphas } from "./alphas";
import { expectedCost, ssrTerms, type StageRelaxation } from "./relaxation";
import { buildSupernet, type Supernet } from "./supernet";

const cases = Array.from({ length: 12 }, (_, seed): [number, SearchSpace, Architecture] => {
  const random = uniform(seed);
  const space = randomSpace(random);
  return [seed, space, randomArchitecture(space, random)];
});

const relaxed = (supernet: Supernet, architecture: Architecture): StageRelaxation[] =>
  supernet.relax(unpack(tf.tensor1d(packAlphas(supernet.stages, supernet.alphas, architecture)), supernet.alphas));
const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync<"float32">()];
const close = (got: ArrayLike<number>, want: ArrayLike<number>) =>
  expect(relativeDifference(got, want)).toBeLessThan(2e-6);
/** sum_j p_j w_j, and the expected mask of it, by plain arithmetic. */
const expectedMask = (entry: Group, widths: readonly number[], channels: number): number[] => {
  const p = probabilities(entry.alphas);
  return Array.from({ length: channels }, (_, channel) =>
    entry.survivors.reduce((sum, survivor, i) => sum + ((widths[survivor] ?? 0) > channel ? (p[i] ?? 0) : 0), 0),
  );
};

describe.each(cases)("the choices of random architecture %d", (_, space, architecture) => {
  const supernet = buildSupernet(space, architecture);
  const relaxation = relaxed(supernet, architecture);

  it("have the probabilities, masks and presence of its groups", () => {
    relaxation.forEach((stage, index) => {
      const s = index + 1;
      const { channels, widths } = space.stages[index]!;
      const depths = group(architecture, `stage${s}/depth`);
      close(values(stage.depth), probabilities(depths.alphas));
      const presences = stage.blocks.map((block, at) => {
        const choice = group(architecture, operationId(s, at + 1));
        const p = probabilities(choice.alphas);
        close(values(block.p), p);
        const names = choice.survivors.map((survivor) => operations(space)[survivor]!.name);
        const masks = (id: typeof outputId) =>
          names.map((name) => expectedMask(group(architecture, id(s, at + 1, name)), widths, channels));
        close(values(block.output), masks(outputId).flat());
        close(values(block.middle), masks(middleId).flat());
        const presence = Array.from({ length: channels }, (__, c) =>
          masks(outputId).reduce((sum, mask, o) => sum + (p[o] ?? 0) * (mask[c] ?? 0), 0),
        );
        close(values(block.presence), presence);
        return presence;
      });
      const p = probabilities(depths.alphas);
      const minDepth = space.stages[index]!.minDepth;
      close(
        values(stage.presence),
        Array.from({ length: channels }, (__, c) =>
          depths.survivors.reduce(
            (sum, survivor, d) => sum + (p[d] ?? 0) * (presences[minDepth + survivor - 1]?.[c] ?? NaN),
            0,
          ),
        ),
      );
    });
  });

  it("have the mean SSR of each dimension over all its groups, decided ones counting 0", () => {
    const mean = (dimension: Dimension) => {
      const found = architecture.groups.filter((entry) => entry.dimension === dimension);
      return found.reduce((sum, entry) => sum + ssr(probabilities(entry.alphas)), 0) / found.length;
    };
    const terms = ssrTerms(relaxation);
    for (const [term, dimension] of [
      [terms.depth, Dimension.DIMENSION_DEPTH],
      [terms.operation, Dimension.DIMENSION_OPERATION],
      [terms.outputWidth, Dimension.DIMENSION_OUTPUT_WIDTH],
      [terms.middleWidth, Dimension.DIMENSION_MIDDLE_WIDTH],
    ] as const)
      expect(term.dataSync()[0]).toBeCloseTo(mean(dimension), 5);
  });

  it("cost what plain arithmetic says, also by a table whose every coefficient differs", () => {
    const random = uniform(99);
    const table = macsTable(space);
    const uneven = {
      ...table,
      fixed: 7,
      candidates: table.candidates.map((row) => ({
        ...row,
        inMiddle: random(),
        middleOut: random(),
        fixed: 20 * random(),
      })),
    };
    for (const each of [table, uneven])
      close(values(expectedCost(supernet.stages, relaxation, each)), [costByArithmetic(space, architecture, each)]);
  });

  it("come back from the flat vector as they went in", () => {
    const back = unpackAlphas(
      supernet.stages,
      supernet.alphas,
      architecture,
      packAlphas(supernet.stages, supernet.alphas, architecture),
    );
    expect(back).toEqual({
      groups: architecture.groups.map((entry) => ({ ...entry, alphas: entry.alphas.map(Math.fround) })),
    });
  });
});

describe("decided groups", () => {
  const space = smallSpace();
  const genotype = randomGenotype(space, uniform(4));
  const decided = decidedArchitecture(space, genotype);

  it("cost what their genotype costs", () => {
    const table = macsTable(space);
    const supernet = buildSupernet(space, decided);
    close(values(expectedCost(supernet.stages, relaxed(supernet, decided), table)), [genotypeCost(genotype, table)]);
  });

  it("are constants: no derivative reaches their parameters", () => {
    const supernet = buildSupernet(space, decided);
    const flat = tf.tensor1d(packAlphas(supernet.stages, supernet.alphas, decided));
    const everything = (alphas: Record<string, tf.Tensor>) => {
      const relaxation = supernet.relax(alphas);
      const { depth, operation, outputWidth, middleWidth } = ssrTerms(relaxation);
      const cost = expectedCost(supernet.stages, relaxation, macsTable(space));
      return tf.addN([depth, operation, outputWidth, middleWidth, cost]);
    };
    const alphas = Object.entries(unpack(flat, supernet.alphas));
    const one = tf.scalar(1);
    const { grads } = tf
      .engine()
      .gradients(
        () => tf.add(everything(Object.fromEntries(alphas)), tf.square(one)),
        [one, ...alphas.map(([, tensor]) => tensor)],
      );
    expect(grads.map(Boolean)).toEqual([true, ...alphas.map(() => false)]);
  });

  it("are 1 whatever their parameter is, beside undecided ones of their stack", () => {
    const random = uniform(5);
    const partly = keepSome(space, initialArchitecture(space), random, 0.3);
    const extreme = {
      groups: partly.groups.map((entry) => ({
        ...entry,
        alphas: entry.survivors.length === 1 ? [-60 + 120 * random()] : entry.alphas,
      })),
    };
    const supernet = buildSupernet(space, extreme);
    const rows = relaxed(supernet, extreme).flatMap(({ blocks }) =>
      blocks.flatMap(({ groups }) =>
        [groups.operation, groups.output, groups.middle].flatMap(({ p, survivors, candidates }) =>
          survivors.flatMap((left, row) =>
            left.length === 1 ? [values(p).slice(row * candidates, (row + 1) * candidates)[left[0]!]] : [],
          ),
        ),
      ),
    );
    expect(rows.length).toBeGreaterThan(5);
    expect(new Set(rows)).toEqual(new Set([1]));
  });
});

describe("candidates that are given up but have not left", () => {
  const space = smallSpace();
  const random = uniform(6);
  // sigmoid(-150) is 0 in float32.
  const extreme = {
    groups: initialArchitecture(space).groups.map((entry) => ({
      ...entry,
      alphas: entry.alphas.map(() => (random() < 0.5 ? -150 : -120) + random()),
    })),
  };
  const supernet = buildSupernet(space, extreme);

  it("have the SSR of their alphas, and derivatives that sum to 0 where sigmoid has a slope of 1 in logarithm", () => {
    const flat = tf.tensor1d(packAlphas(supernet.stages, supernet.alphas, extreme));
    const loss = (alphas: tf.Tensor1D) => {
      const { depth, operation, outputWidth, middleWidth } = ssrTerms(supernet.relax(unpack(alphas, supernet.alphas)));
      return tf.addN<tf.Scalar>([depth, operation, outputWidth, middleWidth]);
    };
    const { value, grad } = tf.valueAndGrad(loss)(flat);
    const dimensions = [
      Dimension.DIMENSION_DEPTH,
      Dimension.DIMENSION_OPERATION,
      Dimension.DIMENSION_OUTPUT_WIDTH,
      Dimension.DIMENSION_MIDDLE_WIDTH,
    ];
    const want = dimensions.reduce((sum, dimension) => {
      const found = extreme.groups.filter((entry) => entry.dimension === dimension);
      return sum + found.reduce((total, entry) => total + ssr(probabilities(entry.alphas)), 0) / found.length;
    }, 0);
    close(values(value), [want]);
    const gradient = values(grad);
    expect(gradient.every(Number.isFinite)).toBe(true);
    expect(Math.max(...gradient.map(Math.abs))).toBeGreaterThan(1e-3);
    expect(gradient.reduce((sum, entry) => sum + entry, 0)).toBeCloseTo(0, 5);
  });
});
