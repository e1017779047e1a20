import { rates } from "../../../shared/engine/adam";
import { createEngine, type Engine, type EngineOptions } from "../../../shared/engine/engine";
import { median } from "../../../shared/engine/profile";
import { createRandom } from "../../../shared/engine/random";
import { buildDiscrete } from "../../../shared/network/discrete";
import { initialStats, initialWeights } from "../../../shared/network/initialise";
import { largestGenotype } from "../../../shared/space/genotype";
import { stepOptions } from "./algorithms/ssr/train";
import { timedSteps, type ProfileJob } from "./profile";
import { randomBatch } from "./randomBatch";
import { advance, dropoutFactors } from "./running";
import { initialSupernet } from "./supernetState";
import { openSupernetTrainer } from "./supernetTrainer";
import { compileWeightStep, networkSubject, trainingBuffer, untrained } from "./weightTrainer";

/** Seconds of a step of the weights and of the architecture parameters of the whole supernet, and of the largest network's retraining. */
export interface Pace {
  weights: number;
  alphas: number;
  retraining: number;
}

/** Measures the steps of a search on random images, each as the median of some runs. The steps of a search only get faster. */
export async function measurePace(options: EngineOptions, job: ProfileJob, signal: AbortSignal): Promise<Pace> {
  const engine = await createEngine(options);
  const { space, spec } = job;
  const steps = stepOptions(job, new Float32Array(space.classes).fill(1));
  const trainer = await openSupernetTrainer(engine, initialSupernet(space, spec.seed), steps);
  const { weights = 0, alphas = 0 } = await timedSteps(trainer, job, signal).finally(() => trainer.release());
  return { weights, alphas, retraining: await retrainingStep(engine, job, signal) };
}

async function retrainingStep(
  engine: Engine,
  { space, spec: { retraining, seed }, warmUp, runs }: ProfileJob,
  signal: AbortSignal,
): Promise<number> {
  const { batchSize, pyramidChannels, dropout, learningRate } = retraining;
  const network = buildDiscrete(largestGenotype(space), { kind: "aggregation", pyramidChannels, dropout });
  const subject = networkSubject(engine, network, batchSize);
  const step = await compileWeightStep(engine, subject, { name: "retraining", ...retraining });
  try {
    const random = createRandom(seed, "pace");
    const start = untrained({ weights: initialWeights(network.weights, random), stats: initialStats(network.stats) });
    const buffer = trainingBuffer(subject, start);
    const { images, labels } = randomBatch(space, batchSize, random, subject.shape.stride);
    const classWeights = new Float32Array(space.classes).fill(1);
    const seconds: number[] = [];
    for (let at = 1; at <= warmUp + runs; at++) {
      signal.throwIfAborted();
      const started = performance.now();
      const factors = dropoutFactors(subject.formulation.network.dropouts, batchSize, random);
      await advance(step, buffer, { rates: rates(learningRate, at), classWeights, images, labels, ...factors });
      seconds.push((performance.now() - started) / 1000);
    }
    return median(seconds.slice(warmUp));
  } finally {
    await step.release();
  }
}
