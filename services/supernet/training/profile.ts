import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine, type EngineOptions } from "../../../shared/engine/engine";
import { measureOverhead, median, Profiles, type NodeTimes } from "../../../shared/engine/profile";
import { createRandom } from "../../../shared/engine/random";
import { stepMacs } from "./memory";
import { randomBatch } from "./randomBatch";
import { openSupernetTrainer, type SupernetTrainer } from "./supernetTrainer";
import { initialSupernet } from "./supernetState";
import { stepOptions } from "./algorithms/ssr/train";
import { type SearchJob } from "./algorithms/search";

export interface ProfileJob extends Pick<SearchJob, "spec" | "space" | "table"> {
  /** Steps before the measurement, and measured steps. */
  warmUp: number;
  runs: number;
}

/** Where a step of the whole supernet spends its time. */
export interface StepReport {
  step: "weights" | "alphas";
  /** Median time of a step without the profiler, and with it. */
  seconds: number;
  profiledSeconds: number;
  times: NodeTimes[];
  /** stepMacs. */
  macs: number;
}

export interface ProfileReport {
  engine: string;
  /** "blocked", or "plain" with the reason. */
  formulation: string;
  threads: number;
  batchSize: number;
  runs: number;
  /** Time that the profiler itself adds to each node. It has been subtracted. */
  overheadSeconds: number;
  steps: StepReport[];
}

type Step = StepReport["step"];

/** Times both steps of a space's whole supernet on random images, first without ONNX Runtime's profiler, then with it. */
export async function profileSteps(
  options: EngineOptions,
  job: ProfileJob,
  signal: AbortSignal,
): Promise<ProfileReport> {
  const { spec, space, warmUp, runs } = job;
  const { batchSize } = spec.training;
  const state = initialSupernet(space, spec.seed);
  const steps = stepOptions(job, new Float32Array(space.classes).fill(1));
  const folder = mkdtempSync(join(tmpdir(), "lathe-profile-"));
  try {
    const overheadSeconds = await measureOverhead(options, folder);
    const engine = await createEngine(options);
    // One trainer at a time: two would take twice the memory.
    const plain = await openSupernetTrainer(engine, state, steps);
    const seconds = await timedSteps(plain, job, signal).finally(() => plain.release());
    const profiles = new Profiles(folder);
    const profiled = await openSupernetTrainer(await createEngine({ ...options, profiling: profiles }), state, steps);
    const profile = async () => {
      const names = Object.keys(await timedSteps(profiled, job, signal)) as Step[];
      return names.map((name) => [name, profiles.read(name, warmUp, overheadSeconds)] as const);
    };
    const read = await profile().finally(() => profiled.release());
    return {
      engine: engine.name,
      formulation: plain.compiled.formulation,
      threads: options.threads,
      batchSize,
      runs,
      overheadSeconds,
      steps: read.map(([step, { runSeconds, times }]) => ({
        step,
        seconds: seconds[step] ?? NaN,
        profiledSeconds: runSeconds,
        times,
        macs: stepMacs(step, job, state.supernet),
      })),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Median time of each of a trainer's steps after the warm-up, in seconds. The two steps alternate, as in a search. */
export async function timedSteps(
  trainer: SupernetTrainer,
  { spec, space, warmUp, runs }: ProfileJob,
  signal: AbortSignal,
): Promise<Partial<Record<Step, number>>> {
  const batch = randomBatch(space, spec.training.batchSize, createRandom(spec.seed, "profile"));
  const { weightLearningRate, alphaLearningRate } = spec.training;
  const series = new Map<Step, number[]>();
  const time = async (step: Step, run: () => Promise<unknown>) => {
    signal.throwIfAborted();
    const started = performance.now();
    await run();
    series.set(step, [...(series.get(step) ?? []), (performance.now() - started) / 1000]);
  };
  for (let at = 0; at < warmUp + runs; at++) {
    await time("weights", () => trainer.weightStep(batch, weightLearningRate));
    const { alphaStep } = trainer;
    // Without an undecided group there is no alpha step.
    if (alphaStep)
      await time("alphas", () => alphaStep(batch, alphaLearningRate, { ssrFactor: 1, costWeight: spec.cost.weight }));
  }
  return Object.fromEntries([...series].map(([step, seconds]) => [step, median(seconds.slice(warmUp))]));
}
