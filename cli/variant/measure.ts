import { availableParallelism } from "node:os";
import { summarise } from "../../services/latency/figures";
import { startProfiler } from "../../services/latency/profiler";
import { medianOf } from "../../services/latency/statistics";
import type { SessionOptions } from "../../shared/engine/session";
import type { ModelScores } from "../../shared/evaluation/evaluateModel";
import { evaluateOn } from "../../shared/evaluation/evaluateOn";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { NUMBERS } from "../../shared/spec/bounds";
import type { Data } from "./data";

/** Turns of a latency measurement, in each of which every model is measured in a process of its own. */
const TURNS = 3;

/** All threads: what is computed does not depend on them. */
export const session = (): SessionOptions => ({ provider: "cpu", threads: availableParallelism() });

/** The figures of a model that a variant changes. */
export interface Figures {
  /** On the validation split, as `lathe evaluate` measures it. */
  readonly miou: number;
  readonly miouClasses: number;
  /** Median over the turns of the p50 that `lathe profile network` measures. */
  readonly p50Seconds: number;
  readonly bytes: number;
  /** The measurements of the turns. */
  readonly latencies: readonly LatencyFigures[];
}

/** Measures models side by side: mIoU one after the other, latency in turns, so that the machine's drift is that of all. */
export async function measured(
  models: readonly Uint8Array[],
  data: Data,
  { threads, size, signal }: { threads: number; size: { height: number; width: number }; signal: AbortSignal },
  progress: (done: number, of: number) => void,
): Promise<Figures[]> {
  const scores: ModelScores[] = [];
  for (const model of models)
    scores.push((await evaluateOn({ model, told: {}, session: session(), ...data }, { signal, progress })).scores);
  const { warmupRuns, timedRuns } = NUMBERS.profiling;
  const runs = { warmupRuns: warmupRuns.small, timedRuns: timedRuns.small };
  const settings = { deviceClass: "cpu", provider: "cpu", threads, ...runs } as const;
  const profiler = startProfiler();
  const latencies: LatencyFigures[][] = models.map(() => []);
  for (let turn = 0; turn < TURNS; turn++)
    for (const [at, model] of models.entries()) {
      const [found] = await profiler.network({ model, size, batchSizes: [1] }, settings, signal);
      latencies[at]!.push(summarise(found!.samples, found!.conditions));
    }
  return models.map((model, at) => ({
    miou: scores[at]!.miou,
    miouClasses: scores[at]!.miouClasses,
    p50Seconds: medianOf(latencies[at]!.map(({ p50Seconds }) => p50Seconds)),
    bytes: model.byteLength,
    latencies: latencies[at]!,
  }));
}
