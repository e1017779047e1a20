import { createEngine } from "../../../shared/engine/engine";
import { macsTable } from "../../../shared/space/cost";
import { resolve } from "../../../shared/spec/resolve";
import { briefSpec } from "../../../shared/testing/training";
import { estimateMemory } from "./memory";
import { openSupernetTrainer } from "./supernetTrainer";
import { stepOptions, trainSupernet } from "./algorithms/ssr/train";
import { initialSupernet } from "./supernetState";

const { spec, space } = resolve(briefSpec());
const job = { spec, space, table: macsTable(space) };
const cpu = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;

it("the estimate equals the memory that the engine of a search counts before the first step", async () => {
  const estimate = await estimateMemory(cpu, job);
  expect(estimate.steps.map(({ name }) => name)).toEqual(["weights", "alphas", "evaluate"]);
  expect(estimate.steps.every(({ activations, bytes }) => activations > 0 && bytes > activations)).toBe(true);
  const engine = await createEngine(cpu);
  expect(engine.heldBytes?.()).toBe(0);
  const classWeights = new Float32Array(space.classes).fill(1);
  const trainer = await openSupernetTrainer(engine, initialSupernet(space, 1), stepOptions(job, classWeights));
  const held = engine.heldBytes?.() ?? 0;
  await trainer.release();
  expect(held - (engine.heldBytes?.() ?? 0)).toBe(estimate.bytes - estimate.processBytes);
});

it("a search that does not fit is refused before a step is taken, with estimate and bound", async () => {
  const engine = await createEngine({ ...cpu, memoryBytes: 2 ** 20 });
  const never = () => Promise.reject(new Error("a step was taken"));
  const port: Parameters<typeof trainSupernet>[2] = {
    ...{ storeCheckpoint: never, completeEpoch: never, raise: never },
    ...{ progress: () => void never(), compiled: () => undefined, signal: new AbortController().signal },
  };
  await expect(trainSupernet(engine, job, port)).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    reason: "MEMORY_EXCEEDED",
    message: expect.stringMatching(
      /^step "weights" needs about \d+ MiB, .* may use 1 MiB \(LATHE_TRAINING_MEMORY\)/,
    ) as string,
  });
});
