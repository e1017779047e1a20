import { createRandom } from "../../../../../shared/engine/random";
import { macsTable } from "../../../../../shared/space/cost";
import { costWindow, keyOf, randomGenotype } from "../../../../../shared/space/sampling";
import { smallSpace } from "../../../../../shared/testing/networks";
import { uniform } from "../../../../../shared/testing/spaces";
import { bestOf } from "../best";
import { propose } from "./aging";

type Evaluated = Parameters<typeof propose>[0][number];

const space = smallSpace();
const window = costWindow(space, macsTable(space), { target: 0.8, tolerance: 0.5 });

/** An evolution in which a hash of the network is its mIoU. */
function evolve(count: number, aging: { population: number; tournament: number }, seed = 1) {
  const miouOf = (text: string) =>
    uniform([...text].reduce((sum, letter) => Math.imul(31, sum) + letter.charCodeAt(0), 7))();
  const past: (Evaluated & ReturnType<typeof propose>)[] = [];
  while (past.length < count) {
    const proposal = propose(past, aging, window, createRandom(seed, String(past.length)));
    past.push({ ...proposal, validationMiou: miouOf(keyOf(proposal.genotype)) });
  }
  return past;
}

describe("aging evolution", () => {
  const past = evolve(200, { population: 20, tournament: 5 });

  it("begins with a population drawn at random, then mutates networks of the newest population", () => {
    past.forEach(({ parent }, at) => {
      if (at < 20) return expect(parent).toBe(0);
      // Parents count from 1: at - 20 is the oldest that is alive.
      expect(parent).toBeGreaterThan(at - 20);
      expect(parent).toBeLessThanOrEqual(at);
    });
  });

  it("takes the best of a tournament: parents are above the mean of their population", () => {
    const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const above = past.slice(20).map(({ parent }, n) => {
      const alive = past.slice(n, n + 20).map(({ validationMiou }) => validationMiou);
      return past[parent - 1]!.validationMiou - mean(alive);
    });
    expect(mean(above)).toBeGreaterThan(0.1);
  });

  it("with a tournament of nearly the whole population takes its best network, even if a better one has aged out", () => {
    // The mIoU falls: the best network of all is the first, the best of the population is the oldest.
    const falling = Array.from({ length: 60 }, (_, at) => ({
      genotype: randomGenotype(space, createRandom(at)),
      validationMiou: 1 - at / 100,
    }));
    const { parent } = propose(falling, { population: 10, tournament: 400 }, window, createRandom(1));
    expect(parent).toBe(51);
    expect(bestOf(falling)).toBe(0);
  });

  it("evaluates no network twice while there are others", () => {
    expect(new Set(past.map(({ genotype }) => keyOf(genotype))).size).toBe(200);
  });

  it("proposes the same networks after a resumption at any point", () => {
    for (const at of [3, 20, 77]) {
      const next = propose(past.slice(0, at), { population: 20, tournament: 5 }, window, createRandom(1, String(at)));
      expect(next).toEqual({ genotype: past[at]!.genotype, parent: past[at]!.parent });
    }
  });

  it("goes on where a space has fewer networks than are asked for", () => {
    const stages = space.stages.map((stage) => ({ ...stage, maxDepth: 1, widths: [stage.channels] }));
    const few = { ...space, stages, dilations: [1], scales: [1, 2] };
    const all = costWindow(few, macsTable(few), { target: 1, tolerance: 1 });
    const known: Evaluated[] = [];
    for (let at = 0; at < 12; at++) {
      const { genotype } = propose(known, { population: 3, tournament: 2 }, all, createRandom(1, String(at)));
      known.push({ genotype, validationMiou: at });
    }
    expect(new Set(known.map(({ genotype }) => keyOf(genotype))).size).toBe(4);
  });

  it("takes the first of equals as the best", () => {
    expect(bestOf([0.1, 0.5, 0.5, 0.2].map((validationMiou) => ({ validationMiou })))).toBe(1);
  });
});
