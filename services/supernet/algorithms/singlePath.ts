import { batches } from "../../../shared/data/batches";
import type { Dataset } from "../../../shared/data/dataset";
import { rates } from "../../../shared/engine/adam";
import type { Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import { pathAlphas } from "../../../shared/network/alphas";
import { decodeSupernet, encodeSupernet, type Progress, type SupernetState } from "../../../shared/network/checkpoint";
import { randomGenotype } from "../../../shared/space/sampling";
import { searchStride } from "../../../shared/space/genotype";
import { dropoutFactors } from "../dropout";
import { advance, doubleBuffer } from "../optimizer";
import { finiteLoss, polyRate } from "../schedule";
import { stepSignature, trainableSupernet, weightStep } from "../steps";
import { initialSupernet, type SearchJob } from "../train";
import type { Plan } from "./budget";
import type { SearchPort } from "./search";

/**
 * Trains the whole supernet of a space by single paths (Guo et al., 2020): each step trains one network drawn uniformly, by architecture
 * parameters that are one-hot in the weight step of the relaxed supernet. Running statistics that it leaves fit no single network.
 */
export async function trainSinglePaths(
  engine: Engine,
  job: SearchJob,
  dataset: Dataset,
  { plan, weighting }: { plan: Plan; weighting: Float32Array },
  port: SearchPort,
): Promise<{ state: SupernetState; seconds: number }> {
  const { spec, space, sampled } = job;
  const { batchSize, weightDecay, weightLearningRate } = spec.training;
  const from = sampled?.checkpoint && decodeSupernet(space, sampled.checkpoint, "checkpoint of an evolution");
  let state = from?.state ?? initialSupernet(space, spec.seed);
  let progress: Progress = from?.progress ?? { epoch: 0, convergedEpoch: 0, seconds: 0, miou: 0, costWeight: 0 };
  if (progress.epoch >= plan.epochs) return { state, seconds: progress.seconds };
  const { supernet } = state;
  const { size } = supernet.weights;
  const labelStride = searchStride(space);
  const { inputHeight: height, inputWidth: width, classes } = space;
  const vectors = { weights: size, m: size, v: size, stats: supernet.stats.size, alphas: supernet.alphas.size };
  const step = await engine.compile(
    weightStep(trainableSupernet(supernet), weightDecay),
    stepSignature(
      vectors,
      { rates: [2] },
      { batchSize, height, width, stride: labelStride, classes },
      supernet.dropouts,
    ),
    "single-path",
  );
  const { values: weights, m, v } = state.weights;
  const buffer = doubleBuffer({ weights, m, v, stats: state.stats });
  let { steps } = state.weights;
  try {
    while (progress.epoch < plan.epochs) {
      const started = performance.now();
      const epoch = progress.epoch + 1;
      const learningRate = polyRate(weightLearningRate, epoch, plan.epochs);
      const order = {
        batchSize,
        labelStride,
        dropLast: true,
        augment: { flip: true, translate: 2 },
        random: createRandom(spec.seed, `evolution/${epoch}/batches`),
      };
      const paths = createRandom(spec.seed, `evolution/${epoch}/paths`);
      const total = plan.stepsOf(epoch);
      let sum = 0;
      let done = 0;
      for await (const { images, labels } of batches(dataset.train, order)) {
        port.signal.throwIfAborted();
        steps++;
        done++;
        const outputs = await advance(step, buffer, {
          images,
          labels,
          classWeights: weighting,
          rates: rates(learningRate, steps),
          alphas: pathAlphas(supernet, randomGenotype(space, paths)),
          ...dropoutFactors(supernet.dropouts, batchSize, createRandom(spec.seed, `evolution/dropout/${steps}`)),
        });
        const advice = "lower training.weight_learning_rate";
        sum += finiteLoss(outputs.loss?.[0] ?? NaN, "the supernet", { epoch, step: done, advice });
        port.progress({ epoch, epochs: plan.epochs, step: done, steps: total, loss: sum / done });
        if (done >= total) break;
      }
      const moved = buffer.current as Record<"weights" | "m" | "v" | "stats", Float32Array>;
      state = { ...state, weights: { values: moved.weights, m: moved.m, v: moved.v, steps }, stats: moved.stats };
      const seconds = (performance.now() - started) / 1000;
      progress = { ...progress, epoch, seconds: progress.seconds + seconds };
      const checkpoint = await port.storeCheckpoint(encodeSupernet(state, progress), epoch);
      const loss = sum / done;
      await port.completeSamplingEpoch({
        epoch,
        epochs: plan.epochs,
        candidate: 0,
        loss,
        learningRate,
        seconds,
        checkpoint,
      });
    }
    return { state, seconds: progress.seconds };
  } finally {
    await step.release();
  }
}
