import { relativeDifference } from "../testing/parity";
import { tf } from "../engine/tf";
import { Dimension, type Architecture, type Group, type SearchSpace } from "../proto/lathe/v1/space";
import { expectedCost as costByArithmetic, genotypeCost, macsTable } from "../space/cost";
import { group, initialArchitecture, operationId, operations, probabilities, ssr, widthId } from "../space/groups";
import { kindOf } from "../space/kinds/kinds";
import { decidedArchitecture } from "../space/decided";
import { keepSome, randomGenotype, smallSpace } from "../testing/networks";
import { measuredTable, randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { packAlphas, unpackAlphas } from "./alphas";
import { channelFactors, headFactors } from "./factors";
import { expectedCost, weightedSsr } from "./penalties";
import { exitProbabilities, type Relaxation } from "./relaxation";
import { buildSupernet, type Supernet } from "./supernet";

const cases = Array.from({ length: 12 }, (_, seed): [number, SearchSpace, Architecture] => {
  const random = uniform(seed);
  const space = randomSpace(random);
  return [seed, space, randomArchitecture(space, random)];
});

const relaxed = (supernet: Supernet, architecture: Architecture): Relaxation =>
  supernet.relax(tf.tensor1d(packAlphas(supernet, architecture)));
const values = (tensor: tf.Tensor): number[] => [...tensor.dataSync<"float32">()];
const close = (got: ArrayLike<number>, want: ArrayLike<number>) =>
  expect(relativeDifference(got, want)).toBeLessThan(2e-6);
const EVERY_DIMENSION = { depth: 1, operation: 1, outputWidth: 1, middleWidth: 1 };
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

  // On all channels of each stage, so that channels beyond a width are tested too.
  const factors = channelFactors(supernet.stages, relaxation, ({ name, operations: list }) => {
    const channels = supernet.stages.find((stage) => name.startsWith(`${stage.name}/`))!.channels;
    const middles = list.map(({ operation }) => kindOf(operation).expansion * channels);
    return { middles, outputs: list.map(() => channels), presence: channels };
  });

  it("have the probabilities, masks and presence of its groups", () => {
    const allOperations: number[] = [];
    supernet.stages.forEach((stage, index) => {
      const s = index + 1;
      const { channels, widths, minDepth } = space.stages[index]!;
      const depths = group(architecture, `stage${s}/depth`);
      close(values(exitProbabilities(relaxation, index, stage.exits.length)), probabilities(depths.alphas));
      const presences = stage.blocks.map((block, at) => {
        const choice = group(architecture, operationId(s, at + 1));
        const p = probabilities(choice.alphas);
        allOperations.push(...p);
        const chosenOperations = choice.survivors.map((survivor) => operations(space)[survivor]!);
        const masks = (part: "output" | "middle") =>
          chosenOperations.map(({ name, kind }) => {
            const expansion = part === "middle" ? kindOf({ kind }).expansion : 1;
            const scaled = widths.map((width) => expansion * width);
            return expectedMask(group(architecture, widthId(block.name, name, part)), scaled, expansion * channels);
          });
        const { middle, output, presence } = factors[index]!.blocks[at]!;
        const chosen = masks("output").map((mask, o) => mask.map((value) => value * (p[o] ?? NaN)));
        const total = Array.from({ length: channels }, (__, c) => chosen.reduce((sum, mask) => sum + mask[c]!, 0));
        // An absent vector of factors means 1 on every computed channel.
        if (middle) close(values(middle), masks("middle").flat());
        else expect(block.operations.every((entry) => entry.middle.survivors.length === 1)).toBe(true);
        expect(output === undefined).toBe(
          block.operations.length === 1 && block.operations[0]!.output.survivors.length === 1,
        );
        if (output) close(values(output), chosen.flat());
        const common = Math.min(block.inputs, block.outputs);
        if (presence)
          close(
            values(presence),
            total.map((value, c) => (c < common ? value : 0)),
          );
        return total;
      });
      const p = probabilities(depths.alphas);
      const want = Array.from({ length: stage.outputs }, (__, c) =>
        depths.survivors.reduce(
          (sum, survivor, d) => sum + (p[d] ?? 0) * (presences[minDepth + survivor - 1]?.[c] ?? NaN),
          0,
        ),
      );
      const { presence } = factors[index]!;
      if (presence) close(values(presence), want);
      else if (s < supernet.stages.length) expect(new Set(want)).toEqual(new Set([1]));
    });
    close(values(relaxation.operations), allOperations);
  });

  it("have the mean SSR of each dimension over all its groups, decided ones counting 0", () => {
    const mean = (dimension: Dimension) => {
      const found = architecture.groups.filter((entry) => entry.dimension === dimension);
      return found.reduce((sum, entry) => sum + ssr(probabilities(entry.alphas)), 0) / found.length;
    };
    const none = { depth: 0, operation: 0, outputWidth: 0, middleWidth: 0 };
    const dimensions = {
      depth: Dimension.DIMENSION_DEPTH,
      operation: Dimension.DIMENSION_OPERATION,
      outputWidth: Dimension.DIMENSION_OUTPUT_WIDTH,
      middleWidth: Dimension.DIMENSION_MIDDLE_WIDTH,
    };
    for (const [name, dimension] of Object.entries(dimensions)) {
      const term = weightedSsr(relaxation, { ...none, [name]: 2 });
      expect(values(term)[0]).toBeCloseTo(2 * mean(dimension), 4);
    }
  });

  it("have the cost by plain arithmetic, also with a table whose coefficients all differ", () => {
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
    for (const each of [table, uneven, measuredTable(space, random)])
      close(values(expectedCost(supernet.stages, relaxation, each)), [costByArithmetic(space, architecture, each)]);
  });

  it("have the expected masks of the head's widths", () => {
    const factors = headFactors(relaxation);
    const of = (id: string, widths: readonly number[] | undefined, mask: tf.Tensor1D | undefined) => {
      const entry = architecture.groups.find((one) => one.id === id);
      const open = entry !== undefined && entry.survivors.length > 1;
      expect(mask !== undefined).toBe(open);
      if (!open || !mask) return;
      const channels = Math.max(...entry.survivors.map((survivor) => widths![survivor]!));
      close(values(mask), expectedMask(entry, widths!, channels));
    };
    for (const list of ["joined", "pyramid", "detail"] as const)
      of(`head/${list}`, space.headWidths?.[list], factors[list]);
  });

  it("are unpacked from the flat vector as they were packed", () => {
    const back = unpackAlphas(supernet, architecture, packAlphas(supernet, architecture));
    expect(back).toEqual({
      groups: architecture.groups.map((entry) => ({ ...entry, alphas: entry.alphas.map(Math.fround) })),
    });
  });
});

describe("decided groups", () => {
  const space = smallSpace();
  const genotype = randomGenotype(space, uniform(4));
  const decided = decidedArchitecture(space, genotype);

  it("have the cost of their genotype", () => {
    const table = macsTable(space);
    const supernet = buildSupernet(space, decided);
    close(values(expectedCost(supernet.stages, relaxed(supernet, decided), table)), [genotypeCost(genotype, table)]);
  });

  it("are constants: no derivative reaches their parameters", () => {
    const supernet = buildSupernet(space, decided);
    const flat = tf.tensor1d(packAlphas(supernet, decided));
    const everything = (alphas: tf.Tensor1D) => {
      const relaxation = supernet.relax(alphas);
      const penalty = weightedSsr(relaxation, EVERY_DIMENSION);
      return tf.add(penalty, expectedCost(supernet.stages, relaxation, macsTable(space)));
    };
    const one = tf.scalar(1);
    const { grads } = tf.engine().gradients(() => tf.add(everything(flat), tf.square(one)), [one, flat]);
    expect(grads.map(Boolean)).toEqual([true, false]);
  });

  it("have p = 1 whatever their parameter is, also beside undecided groups", () => {
    const random = uniform(5);
    const partly = keepSome(space, initialArchitecture(space), random, 0.3);
    const extreme = {
      groups: partly.groups.map((entry) => ({
        ...entry,
        alphas: entry.survivors.length === 1 ? [-60 + 120 * random()] : entry.alphas,
      })),
    };
    const supernet = buildSupernet(space, extreme);
    const { operations: chosen, widths } = relaxed(supernet, extreme);
    const rows = widths.arraySync();
    const list = supernet.stages.flatMap((stage) => stage.blocks.flatMap((block) => block.operations));
    const p = values(chosen);
    let seen = 0;
    list.forEach(({ output, middle }, o) => {
      // Rows of outputs are multiplied by p_o.
      for (const [{ survivors }, row, whole] of [
        [output, rows[o]!, p[o]],
        [middle, rows[list.length + o]!, 1],
      ] as const)
        if (survivors.length === 1) {
          expect(row).toEqual(row.map((_, column) => (column === survivors[0] ? whole : 0)));
          seen++;
        }
    });
    const alone = supernet.stages.flatMap(({ blocks }) =>
      blocks.flatMap(({ operations: { length } }) => Array<number>(length).fill(length)),
    );
    alone.forEach((siblings, o) => {
      if (siblings === 1) expect(p[o]).toBe(1);
    });
    expect(seen).toBeGreaterThan(4);
  });
});

describe("candidates with p = 0 that have not been removed", () => {
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
    const flat = tf.tensor1d(packAlphas(supernet, extreme));
    const loss = (alphas: tf.Tensor1D) => weightedSsr(supernet.relax(alphas), EVERY_DIMENSION);
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
