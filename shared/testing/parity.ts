import { relativeDifference } from "../engine/difference";
import type { Engine } from "../engine/engine";
import type { Arrays, Signature, Step } from "../engine/signature";

export { relativeDifference };

/** Runs one step on two engines; relative difference of each output, the second engine being the reference. */
export async function compareEngines(
  step: Step,
  signature: Signature,
  inputs: Arrays,
  engine: Engine,
  reference: Engine,
): Promise<Record<string, number>> {
  const runs = [];
  for (const candidate of [engine, reference]) {
    const compiled = await candidate.compile(step, signature);
    runs.push(await compiled.run(inputs));
    await compiled.release();
  }
  const [got, want] = runs as [Arrays, Arrays];
  return Object.fromEntries(
    Object.entries(want).map(([name, values]) => [name, relativeDifference(got[name] ?? [], values)]),
  );
}
