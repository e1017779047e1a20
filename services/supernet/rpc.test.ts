import { buildDiscrete } from "../../shared/network/discrete";
import { inheritBuffer } from "../../shared/network/inherit";
import { buildSupernet } from "../../shared/network/supernet";
import { OperationKind, type Genotype, type SearchSpace } from "../../shared/proto/lathe/v1/space";
import { macsTable } from "../../shared/space/cost";
import { derive } from "../../shared/space/genotype";
import { initialArchitecture } from "../../shared/space/groups";
import { searchedHead } from "../../shared/space/head";
import { costWindow, randomGenotype } from "../../shared/space/sampling";
import { createRandom } from "../../shared/engine/random";
import { keepSome, keepSurvivors, smallSpace } from "../../shared/testing/networks";
import { randomArchitecture, randomSpace, uniform } from "../../shared/testing/spaces";
import { requireInherited } from "./rpc";

const thrownBy = (act: () => unknown): string | undefined => {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

describe("the networks that inherit from a shrunk supernet", () => {
  // Mutations of one of its networks: near enough that many inherit, and far enough that many do not.
  it("are those whose every tensor is there", () => {
    const counts = { taken: 0, refused: 0 };
    for (let seed = 0; seed < 150; seed++) {
      const random = uniform(seed);
      const space = randomSpace(random);
      const architecture = keepSome(space, randomArchitecture(space, random, { spread: 1, decided: 0.1 }), random);
      const draws = createRandom(seed);
      let { genotype } = derive(space, architecture);
      for (let step = 0; step < 6; step++) {
        const supernet = buildSupernet(space, architecture);
        const network = buildDiscrete(genotype, searchedHead(space));
        const why = thrownBy(() => requireInherited({ space, architecture }, genotype));
        const failure = thrownBy(() =>
          (["weights", "stats"] as const).forEach((vector) =>
            inheritBuffer(new Float32Array(supernet[vector].size), vector, supernet, network),
          ),
        );
        expect([seed, step, why === undefined, why, failure]).toEqual([
          seed,
          step,
          failure === undefined,
          why,
          failure,
        ]);
        counts[why === undefined ? "taken" : "refused"]++;
        genotype = costWindow(space, macsTable(space), { target: 2, tolerance: 1 }).vary(genotype, draws);
      }
    }
    expect(Math.min(counts.taken, counts.refused)).toBeGreaterThan(100);
  });

  it.each<[string, Partial<SearchSpace>, (of: Genotype) => Genotype, RegExp, string]>([
    [
      "an exit that was wider",
      {},
      (of) => ({ ...of, stages: [{ ...of.stages[0]!, blocks: [of.stages[0]!.blocks[0]!] }, of.stages[1]!] }),
      /^stage1\/(depth|block2)/,
      "genotype.stages[0].blocks[0].output_width: channels from 2 on have left the supernet, the network has 8",
    ],
    [
      "a middle of expansion 2",
      { kinds: [OperationKind.OPERATION_KIND_INVERTED] },
      (of) => of,
      /^stage1\/block1\/.*\/middle$/,
      "genotype.stages[0].blocks[0].middle_width: channels from 2 on have left the supernet, the network has 8",
    ],
    [
      "a detail of the head",
      { pyramidChannels: 4, headWidths: { joined: [], pyramid: [], detail: [2, 8] } },
      (of) => of,
      /^head\/detail$/,
      "genotype.detail_width: channels from 2 on have left the supernet, the network has 8",
    ],
  ])("do not include one with %s", (_, overrides, network, narrowed, message) => {
    const space = smallSpace(overrides);
    const architecture = keepSurvivors(space, initialArchitecture(space), ({ id, survivors }) => {
      if (!narrowed.test(id)) return survivors;
      // The deepest exit, or the narrowest width.
      return id.endsWith("depth") ? survivors.slice(-1) : id.endsWith("operation") ? survivors : survivors.slice(0, 1);
    });
    const full = space.stages.map(({ channels }) => channels);
    const drawn = randomGenotype(space, createRandom(1));
    const wide = {
      ...drawn,
      stages: drawn.stages.map((stage, s) => ({
        ...stage,
        blocks: stage.blocks.map((block) => ({ ...block, middleWidth: full[s]!, outputWidth: full[s]! })),
      })),
    };
    const { detailWidth: __, ...genotype } = network(wide);
    expect(() => requireInherited({ space, architecture }, genotype)).toThrow(message);
  });
});
