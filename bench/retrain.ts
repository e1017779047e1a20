import { parseArgs } from "node:util";
import { rates } from "../shared/engine/adam";
import { createEngine, type Engine } from "../shared/engine/engine";
import { createRandom } from "../shared/engine/random";
import { discreteScorer } from "../shared/evaluation/evaluate";
import type { Batch, Split } from "../shared/data/open";
import { buildDiscrete, type DiscreteNetwork } from "../shared/network/discrete";
import { initialStats, initialWeights } from "../shared/network/initialise";
import { LatheError } from "../shared/process/errors";
import { packageRoot } from "../shared/process/root";
import type { Genotype } from "../shared/proto/lathe/v1/space";
import { readGenotype } from "../cli/spec/networkBuild";
import { randomBatch } from "../services/supernet/training/randomBatch";
import { advance } from "../services/supernet/training/running";
import {
  compileWeightStep,
  networkSubject,
  trainingBuffer,
  untrained,
} from "../services/supernet/training/weightTrainer";
import { median, positive, type Measurement } from "./measurement";
import { PYRAMID, SMALL } from "./network";
import { isFloat32, openForms, ratiosOver } from "./forms";
import { base64, namedTensors, type Mode, type PyTorch } from "./pytorch";

const BATCH = 8;
/** The rate is low, because the labels are drawn at random: no side leaves its first losses. */
const [RATE, DECAY] = [1e-6, 1e-4];
/** Uncounted steps of each side after its first. */
const WARM_UP = 3;
/** CamVid: 367 training images and 101 validation images, in batches of 8. */
const EPOCH = { steps: 45, evaluations: 13 };
/** Tolerance of the losses of the first step: the sides add in different orders. */
const TOLERANCE = 1e-3;

/** Networks by name, each with the head that preset small or the paper gives it. */
const trials: Record<string, () => { genotype: Genotype; pyramidChannels: number }> = {
  small: () => ({ genotype: SMALL, pyramidChannels: 16 }),
  paper: () => ({
    genotype: {
      ...readGenotype({ file: `${packageRoot()}/docs/examples/networks/paper.json` }),
      ...{ inputHeight: 240, inputWidth: 320, classes: 11 },
    },
    pyramidChannels: PYRAMID,
  }),
};

/** Milliseconds of each step and of each evaluation of a batch, and the loss of the last step. */
interface Turn {
  steps: number[];
  evaluations: number[];
  loss: number;
}
type Side = (counts: { steps: number; evaluations: number }) => Promise<Turn>;

/**
 * Measures a training step and the evaluation of a batch of a discrete network with the aggregation head, of Lathe and of each form of
 * PyTorch in turns, on one random batch in memory. An epoch is what CamVid takes: 45 steps and 13 evaluations. Arguments: small and paper
 * (default: both); --rounds, --steps per round, --threads.
 */
export async function retrain(args: readonly string[]): Promise<Measurement[]> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      steps: { type: "string", default: "5" },
      threads: { type: "string", default: "2" },
    },
  });
  const counts = {
    rounds: positive(values.rounds, "--rounds"),
    steps: positive(values.steps, "--steps"),
    threads: positive(values.threads, "--threads"),
  };
  const measurements: Measurement[] = [];
  for (const name of positionals.length > 0 ? positionals : Object.keys(trials)) {
    const trial = trials[name];
    if (!trial)
      throw new LatheError(
        "INVALID_ARGUMENT",
        `there is no network "${name}", choose from ${Object.keys(trials).join(", ")}`,
      );
    measurements.push(await measure(name, trial(), counts));
  }
  return measurements;
}

async function measure(
  name: string,
  { genotype, pyramidChannels }: { genotype: Genotype; pyramidChannels: number },
  { rounds, steps, threads }: { rounds: number; steps: number; threads: number },
): Promise<Measurement> {
  // Dropout draws at random, so the losses of the sides could not be compared.
  const network = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels, dropout: 0 });
  const random = createRandom(1, "bench");
  const weights = initialWeights(network.weights, random);
  const batch = randomBatch(sizesOf(genotype), BATCH, random, network.stride);
  const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
  const ours = await openOurs(engine, network, weights, batch);
  const theirs = await openForms(threads, beginning(network, weights, batch));
  const turn = { steps, evaluations: Math.ceil((steps * EPOCH.evaluations) / EPOCH.steps) };
  const series: Record<string, number[]> = {};
  const epochs: Record<string, number[]> = {};
  try {
    const { loss } = await ours.run({ steps: 1, evaluations: 0 });
    for (const { name: form, first } of theirs.forms)
      // bfloat16 has three digits.
      if (isFloat32(form) && Math.abs(loss - first.loss) > TOLERANCE * Math.abs(first.loss))
        throw new LatheError(
          "FAILED_PRECONDITION",
          `the loss is ${loss} in Lathe and ${first.loss} in PyTorch (${form})`,
        );
    const sides: { name: string; run: Side }[] = [
      { name: "lathe", run: ours.run },
      ...theirs.forms.map(({ name: form, python }) => ({
        name: form,
        run: (counts: Parameters<Side>[0]) => python.call<Turn>("train", counts),
      })),
    ];
    await ours.run({ steps: WARM_UP, evaluations: WARM_UP });
    for (let round = 0; round < rounds; round++)
      for (const { name: side, run } of sides) {
        const took = await run(turn);
        const label = side === "lathe" ? side : `pytorch ${side}`;
        (series[`${label}, step`] ??= []).push(...took.steps);
        (series[`${label}, evaluation`] ??= []).push(...took.evaluations);
        const epoch = EPOCH.steps * median(took.steps) + EPOCH.evaluations * median(took.evaluations);
        (epochs[side] ??= []).push(epoch);
      }
  } finally {
    await ours.release();
    await theirs.close();
  }
  const { lathe = [], ...others } = epochs;
  return {
    title: `retraining ${name}, ${genotype.inputHeight}x${genotype.inputWidth}, batch ${BATCH}, including Adam`,
    unit: "ms",
    series,
    ratios: ratiosOver("epoch", lathe, others),
    notes: {
      engine: engine.name,
      threads,
      formulation: ours.formulation,
      rounds: `${rounds} of ${turn.steps} steps and ${turn.evaluations} evaluations of a batch per side in turns`,
      epoch: `${EPOCH.steps} steps and ${EPOCH.evaluations} evaluations, of the medians of a round`,
      ...theirs.notes,
    },
    table: {
      columns: ["side", "seconds of an epoch, median of the rounds"],
      rows: Object.entries(epochs).map(([side, ms]) => [side, (median(ms) / 1000).toFixed(2)]),
    },
    ...(theirs.versions && { versions: theirs.versions }),
  };
}

/** A space of the sizes of a genotype, for random batches. */
const sizesOf = (genotype: Genotype) => ({ ...genotype, stages: [], dilations: [], scales: [], kinds: [] });

async function openOurs(engine: Engine, network: DiscreteNetwork, weights: Float32Array, batch: Batch) {
  const subject = networkSubject(engine, network, BATCH);
  const { leave, name: formulation } = subject.formulation;
  const course = { name: "retraining", batchSize: BATCH, weightDecay: DECAY };
  const step = await compileWeightStep(engine, subject, course);
  const scorer = await discreteScorer(engine, network, BATCH);
  const start = untrained({ weights, stats: initialStats(network.stats) });
  const buffer = trainingBuffer(subject, start);
  const classWeights = new Float32Array(network.genotype.classes).fill(1);
  const { images, labels } = batch;
  let taken = 0;
  const run: Side = async (counts) => {
    const turn: Turn = { steps: [], evaluations: [], loss: NaN };
    for (let at = 0; at < counts.steps; at++) {
      const started = performance.now();
      const inputs = { rates: rates(RATE, ++taken), classWeights, images, labels };
      turn.loss = (await advance(step, buffer, inputs)).loss?.[0] ?? NaN;
      turn.steps.push(performance.now() - started);
    }
    const parameters = {
      weights: leave("weights", buffer.current.weights as Float32Array),
      stats: leave("stats", buffer.current.stats as Float32Array),
    };
    for (let at = 0; at < counts.evaluations; at++) {
      const started = performance.now();
      await scorer.score(parameters, splitOf(network.genotype, batch));
      turn.evaluations.push(performance.now() - started);
    }
    return turn;
  };
  const release = async () => {
    await step.release();
    await scorer.release();
  };
  return { run, release, formulation };
}

/** A split of one batch in memory. */
function splitOf({ inputHeight: height, inputWidth: width }: Genotype, batch: Batch): Split {
  const unused = () => Promise.reject(new Error("an evaluation does not ask for it"));
  const assemble = () => Promise.resolve(batch);
  return { length: batch.size, height, width, name: String, example: unused, countPixels: unused, assemble };
}

/** The requests by which the PyTorch side builds the network and its batch, and takes a step. */
function beginning(network: DiscreteNetwork, weights: Float32Array, { images, labels }: Batch) {
  const { genotype, head } = network;
  return async (python: PyTorch, mode: Mode): Promise<Turn> => {
    await python.call("retrain", {
      ...{ genotype, head, weights: namedTensors(weights, network.weights) },
      ...{ images: base64(images), labels: [...labels], rate: RATE, decay: DECAY, mode },
      classWeights: new Array(genotype.classes).fill(1),
    });
    const first = await python.call<Turn>("train", { steps: 1, evaluations: 0 });
    // bfloat16 of PyTorch 1.13 ends in NaN after some steps: such a form is left out.
    await python.call<Turn>("train", { steps: WARM_UP, evaluations: WARM_UP });
    return first;
  };
}
