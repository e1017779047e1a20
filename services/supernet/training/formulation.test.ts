import { rates } from "../../../shared/engine/adam";
import { createEngine, eagerEngine, type Arrays, type Engine } from "../../../shared/engine/engine";
import { relativeDifference } from "../../../shared/testing/parity";
import { packAlphas } from "../../../shared/network/alphas";
import { buildSupernet, type Supernet } from "../../../shared/network/supernet";
import { OperationKind, type Architecture, type SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { costOfLargest, macsTable } from "../../../shared/space/cost";
import { initialArchitecture } from "../../../shared/space/groups";
import { searchStride } from "../../../shared/space/head";
import { KINDS } from "../../../shared/space/kinds/kinds";
import { decidedArchitecture } from "../../../shared/space/decided";
import { keepSome, noise, randomBuffer, randomGenotype } from "../../../shared/testing/networks";
import { portableEngine, TILE_SIZES } from "../../../shared/testing/portableTiles";
import { uniform } from "../../../shared/testing/spaces";
import { createRandom } from "../../../shared/engine/random";
import { formulate } from "./formulation";
import { differences, differing, space } from "./formulation.fixture";
import { dropoutFactors } from "./running";
import { alphaStep, stepSignature, trainableSupernet, weightStep } from "./steps";

const BATCH = 2;
const shapeOf = (of: SearchSpace) => ({
  batchSize: BATCH,
  height: 64,
  width: 128,
  classes: 5,
  stride: searchStride(of),
});

const whole = initialArchitecture(space);
const few = keepSome(space, whole, uniform(3), 0.25);
const dropping = { ...space, stages: space.stages.map((stage) => ({ ...stage, dropout: 0.3 })) };
const mixed = { ...space, kinds: [OperationKind.OPERATION_KIND_FACTORIZED, OperationKind.OPERATION_KIND_PLAIN] };
const all = { ...space, kinds: KINDS.map(({ kind }) => kind) };
const spread = { ...dropping, kinds: [OperationKind.OPERATION_KIND_BOTTLENECK] };
const deeper = { ...space, stages: [...space.stages, { ...space.stages[1]!, channels: 48, widths: [24, 40, 48] }] };
const headed = { ...deeper, pyramidChannels: 4, headWidths: { joined: [20, 32], pyramid: [0, 3, 4], detail: [5, 16] } };
/** Name, space and architecture. */
const supernets: [string, SearchSpace, Architecture][] = [
  ["whole", space, whole],
  ["shrunk", space, keepSome(space, whole, uniform(12), 0.5)],
  ["shrunk to few", space, few],
  ["shrunk to few, and drops channels out", dropping, few],
  ["shrunk to few, with 3x3 convolutions", mixed, keepSome(mixed, initialArchitecture(mixed), uniform(3), 0.35)],
  ["shrunk to few, of all kinds", all, keepSome(all, initialArchitecture(all), uniform(3), 0.3)],
  [
    "shrunk to few, of depthwise convolutions, drops channels out",
    spread,
    keepSome(spread, initialArchitecture(spread), uniform(5), 0.4),
  ],
  ["shrunk to few, of three stages", deeper, keepSome(deeper, initialArchitecture(deeper), uniform(3), 0.25)],
  ["shrunk to few, of the aggregation head", headed, keepSome(headed, initialArchitecture(headed), uniform(3), 0.25)],
  ["decided", space, decidedArchitecture(space, randomGenotype(space, uniform(8)))],
];

/** ONNX Runtime with the processor's own tile size on all architectures, and with each tile size, which is slow, on the small ones. */
const engines: { name: string; open: () => Promise<Engine>; tried: typeof supernets }[] = [
  {
    name: "this processor's tiles",
    open: () => createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 }),
    tried: supernets,
  },
  ...TILE_SIZES.map((tile) => ({
    name: `tiles of ${tile}`,
    open: () => portableEngine(tile),
    tried: supernets.slice(2),
  })),
];
let onnx: Engine;

type Step = Parameters<Engine["compile"]>[0];

/** Runs of a step, which is compiled for the sizes of its first inputs. `scalars` names its inputs that are not of the batch or a buffer. */
function runsOf(step: Step, scalars: readonly string[], { dropouts, space: of }: Supernet) {
  let compiled: ReturnType<Engine["compile"]> | undefined;
  const compile = (inputs: Arrays) => {
    const buffers = ["weights", "m", "v", "stats", "alphas"].filter((name) => inputs[name] !== undefined);
    const sizes = Object.fromEntries(buffers.map((name) => [name, inputs[name]!.length]));
    const shapes = Object.fromEntries(scalars.map((name) => [name, [inputs[name]!.length]]));
    return onnx.compile(step, stepSignature(sizes, shapes, shapeOf(of), dropouts));
  };
  return {
    run: async (inputs: Arrays): Promise<Arrays> => (await (compiled ??= compile(inputs))).run(inputs),
    release: async () => (await compiled)?.release(),
  };
}

/** A supernet of an architecture in both formulations, and one of its steps in each. */
function formulations(
  of: SearchSpace,
  start: Architecture,
  step: (network: Supernet) => Step,
  scalars: readonly string[],
) {
  const supernet = buildSupernet(of, start);
  const blocked = formulate(onnx, supernet, BATCH);
  expect(blocked.name).toBe("blocked");
  const [plain, tiled] = [supernet, blocked.network].map((network) => runsOf(step(network), scalars, network)) as [
    ReturnType<typeof runsOf>,
    ReturnType<typeof runsOf>,
  ];
  return { start, supernet, blocked, plain, tiled, release: () => Promise.all([plain.release(), tiled.release()]) };
}
type Formulations = ReturnType<typeof formulations>;

/** Random inputs of the steps of a supernet, from a seed. */
function drawn({ start, supernet }: Formulations, seed: number) {
  const random = uniform(seed);
  const architecture = {
    groups: start.groups.map((group) => ({ ...group, alphas: group.survivors.map(() => 4 * random() - 2) })),
  };
  const weights = randomBuffer(supernet.weights, random);
  const stats = randomBuffer(supernet.stats, random);
  const alphas = packAlphas(supernet, architecture);
  const batch = {
    images: noise(BATCH * 3 * 64 * 128, random).map(Math.abs),
    labels: Int32Array.from({ length: (BATCH * 64 * 128) / searchStride(supernet.space) ** 2 }, () =>
      Math.floor(random() * 5),
    ),
    classWeights: Float32Array.of(1, 3, 2, 5, 4),
    ...dropoutFactors(supernet.dropouts, BATCH, createRandom(seed)),
  };
  const images = Float32Array.from(batch.images, (value, at) => value * (1 + (at % 2 === 0 ? 1.2e-7 : -1.2e-7)));
  return { weights, stats, alphas, batch, rounded: { ...batch, images } };
}

const weightSteps = (of: SearchSpace, start: Architecture) =>
  formulations(of, start, (network) => weightStep(trainableSupernet(network), 0), ["rates"]);

/** Differences between the weight steps of both formulations in one draw. */
async function weightsDiffering(steps: Formulations, seed: number): Promise<string[]> {
  const { supernet, blocked } = steps;
  const { weights, stats, alphas, batch, rounded } = drawn(steps, seed);
  const inputs = (w: Float32Array, s: Float32Array) => {
    const zero = { m: new Float32Array(w.length), v: new Float32Array(w.length) };
    return { weights: w, ...zero, stats: s, alphas, rates: rates(1e-2, 3) };
  };
  const want = await steps.plain.run({ ...inputs(weights, stats), ...batch });
  const control = await steps.plain.run({ ...inputs(weights, stats), ...rounded });
  const [tiledWeights, tiledStats] = [blocked.enter("weights", weights), blocked.enter("stats", stats)];
  const got = await steps.tiled.run({ ...inputs(tiledWeights, tiledStats), ...batch });
  const plain = {
    // From moments 0 and without decay, m after the step is 0.1 * gradient.
    m: blocked.leave("weights", got.m as Float32Array),
    stats: blocked.leave("stats", got.stats as Float32Array),
  };
  expect(relativeDifference(got.loss!, want.loss!)).toBeLessThan(1e-5);
  // The padding of tiles is 0 and stays 0.
  const moved = got.weights as Float32Array;
  expect(blocked.enter("weights", blocked.leave("weights", moved))).toEqual(moved);
  expect(relativeDifference(blocked.leave("weights", moved), weights)).toBeGreaterThan(1e-3);
  return [
    ...differing(plain, want, control, "m", supernet.weights),
    ...differing(plain, want, control, "stats", supernet.stats),
  ];
}

const alphaSteps = (of: SearchSpace, start: Architecture) => {
  const table = macsTable(of);
  const options = {
    table,
    largestCost: costOfLargest(of, table),
    target: 0.2,
    ssr: { depth: 30, operation: 20, outputWidth: 15, middleWidth: 10 },
    weightDecay: 0,
  };
  return formulations(of, start, (network) => alphaStep(network, options), ["rates", "ssrFactor", "costWeight"]);
};

/** Differences between the alpha steps of both formulations in one draw. */
async function alphasDiffering(steps: Formulations, seed: number): Promise<string[]> {
  const { weights, alphas, batch, rounded } = drawn(steps, seed);
  const inputs = (w: Float32Array) => {
    const zero = { m: new Float32Array(alphas.length), v: new Float32Array(alphas.length) };
    const scalars = { rates: rates(1e-2, 3), ssrFactor: Float32Array.of(2), costWeight: Float32Array.of(3) };
    return { alphas, ...zero, weights: w, ...scalars };
  };
  const want = await steps.plain.run({ ...inputs(weights), ...batch });
  const control = await steps.plain.run({ ...inputs(weights), ...rounded });
  const got = await steps.tiled.run({ ...inputs(steps.blocked.enter("weights", weights)), ...batch });
  for (const term of ["loss", "ssr", "cost"]) expect(relativeDifference(got[term]!, want[term]!)).toBeLessThan(1e-5);
  return differing(got, want, control, "m", steps.supernet.alphas);
}

describe.each(engines)("with $name", ({ open, tried }) => {
  beforeAll(async () => {
    onnx = await open();
  });

  describe.each(tried)("the blocked steps of a supernet that is %s", (_, of, architecture) => {
    it("have the loss, every gradient and the statistics of the plain ones", async () => {
      const steps = weightSteps(of, architecture);
      expect(await differences((seed) => weightsDiffering(steps, seed))).toEqual([]);
      await steps.release();
    });

    const undecided = architecture.groups.some(({ survivors }) => survivors.length > 1);
    // A decided space has no alpha step.
    if (undecided)
      it("have the alpha gradients of the plain ones", async () => {
        const steps = alphaSteps(of, architecture);
        expect(await differences((seed) => alphasDiffering(steps, seed))).toEqual([]);
        await steps.release();
      });
  });
});

describe.each(TILE_SIZES)("with tiles of %d the plain formulation is taken, and says why,", (tile) => {
  beforeAll(async () => {
    onnx = await portableEngine(tile);
  });

  const of = (overrides: Partial<SearchSpace>, batch = BATCH, engine = onnx) =>
    formulate(
      engine,
      buildSupernet({ ...space, ...overrides }, initialArchitecture({ ...space, ...overrides })),
      batch,
    );

  it("where the engine has no blocked layout", () => {
    expect(of({}, BATCH, eagerEngine("cpu")).name).toBe("plain: tfjs/cpu has no blocked layout");
  });

  it("where channels are not whole tiles", () => {
    const [first, second] = space.stages as [SearchSpace["stages"][0], SearchSpace["stages"][0]];
    const stages = [{ ...first, channels: 12, widths: [6, 12] }, second];
    expect(of({ stages }).name).toBe(`plain: stage1 has 12 channels, not a multiple of ${tile}`);
  });

  it("where a row of positions would end within a tile", () => {
    // The first stage is at a quarter of the input's width: rows of 3 tiles, at scale 2 of 1.5.
    const inputWidth = 12 * tile;
    const why = `rows of ${1.5 * tile} positions at scale 2 are not multiples of ${tile}`;
    expect(of({ inputWidth }, 1).name).toBe(`plain: stage1/block1: ${why}`);
  });
});
