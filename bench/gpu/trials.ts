import type { Batch } from "../../shared/data/batches";
import { createRandom } from "../../shared/engine/random";
import type { SupernetState } from "../../shared/network/checkpoint";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { resolve } from "../../shared/spec/resolve";
import { stepOptions } from "../../services/supernet/training/algorithms/ssr/train";
import { randomBatch } from "../../services/supernet/training/randomBatch";
import { initialSupernet } from "../../services/supernet/training/supernetState";
import type { StepOptions } from "../../services/supernet/training/supernetTrainer";
import { makeTrial } from "../step";

/** A supernet with its initial state, the options of its steps, and a random batch. */
export interface Trial {
  start: SupernetState;
  options: StepOptions;
  batch: Batch;
}

/** The supernet of a preset at the preset's batch and input size, or one of the benchmark's sizes S and L. */
export function trial(name: "S" | "L" | "tiny" | "paper", seed = 1): Trial {
  if (name === "S" || name === "L") return makeTrial(name, seed);
  const asked = name === "paper" ? { dataset: { path: "." } } : {};
  return trialOf(SearchSpec.fromPartial({ preset: name, ...asked }), seed);
}

/** The supernet of a spec, with a random batch of its size. */
export function trialOf(asked: SearchSpec, seed: number): Trial {
  const { spec, space } = resolve(asked);
  return {
    start: initialSupernet(space, seed),
    options: stepOptions({ spec, space, table: macsTable(space) }, new Float32Array(space.classes).fill(1)),
    batch: randomBatch(space, spec.training.batchSize, createRandom(seed, "verify")),
  };
}
