import { COMPILED, EAGER } from "../../../shared/engine/account";
import { createEngine, type CompiledStep, type Engine, type EngineOptions } from "../../../shared/engine/engine";
import { graphTraffic, total, type GraphMemory } from "../../../shared/engine/memory";
import { stepGraph } from "../../../shared/engine/session";
import type { Supernet } from "../../../shared/network/supernet";
import { supernetMacs } from "../../../shared/space/networkCosts";
import { openSupernetTrainer } from "./supernetTrainer";
import { initialSupernet } from "./supernetState";
import { stepOptions } from "./algorithms/ssr/train";
import { type SearchJob } from "./algorithms/search";

/** Passes of a step through each convolution: forward, its input's gradient, and its weights' gradient. */
const PASSES: Readonly<Record<string, number>> = { weights: 3, alphas: 2, evaluate: 1 };

/** Nominal MACs of the convolutions in one run of a step of a supernet. */
export function stepMacs(
  step: string,
  { spec, space }: Pick<SearchJob, "spec" | "space">,
  supernet: Pick<Supernet, "stages" | "head">,
): number {
  const forward = supernetMacs(space, supernet).reduce((sum, { macs }) => sum + macs, 0);
  return (PASSES[step] ?? 1) * forward * spec.training.batchSize;
}

/** Estimated memory of training the whole supernet of a space, in bytes. */
export interface MemoryEstimate {
  /** "blocked", or "plain" with the reason. */
  formulation: string;
  /** The steps. A compiled engine has all of them in memory at the same time, an eager one the one that runs. */
  steps: (GraphMemory & {
    name: string;
    bytes: number;
    /** Bytes that its operators read and write in one run (graphTraffic). */
    traffic: number;
    /** MACs of one run (stepMacs). */
    macs: number;
  })[];
  /** Memory of the process without steps and decoded images; 0 on a device. */
  processBytes: number;
  bytes: number;
}

/** Estimates the memory of a training before its first shrink. It traces the steps of the whole supernet without creating sessions. */
export async function estimateMemory(
  options: EngineOptions,
  job: Pick<SearchJob, "spec" | "space" | "table">,
): Promise<MemoryEstimate> {
  const processBytes = options.provider === "cpu" ? process.memoryUsage.rss() : 0;
  const estimate = options.engine === "tensorflow" ? EAGER : COMPILED;
  const engine = await createEngine(options);
  const steps: MemoryEstimate["steps"] = [];
  const { space, spec } = job;
  const state = initialSupernet(space, spec.seed);
  const planner: Engine = {
    ...engine,
    compile: (step, signature, name = "step") => {
      const { graph } = stepGraph(step, signature, options.precision);
      const memory = estimate.of(graph);
      const work = { traffic: graphTraffic(graph), macs: stepMacs(name, job, state.supernet) };
      steps.push({ name, ...memory, bytes: total(memory), ...work });
      return Promise.resolve(planned);
    },
  };
  const settings = stepOptions(job, new Float32Array(space.classes).fill(1));
  const { compiled } = await openSupernetTrainer(planner, state, settings);
  const bytes = processBytes + estimate.together(steps.map((step) => step.bytes));
  return { formulation: compiled.formulation, steps, processBytes, bytes };
}

const planned: CompiledStep = {
  nodes: 0,
  outputs: {},
  run: () => Promise.reject(new Error("a step that was only traced for its memory cannot run")),
  release: () => Promise.resolve(),
};
