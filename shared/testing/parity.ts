import { LatheError } from "../process/errors";
import type { Engine } from "../engine/engine";
import type { Arrays, Signature, Step } from "../engine/signature";

/** max |a - b| / max |b| of one output; 0/0 counts as 0. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length)
    throw new LatheError("INVALID_ARGUMENT", `arrays of ${a.length} and ${b.length} elements are compared`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const distance = Math.abs((a[i] as number) - (b[i] as number));
    // A comparison with NaN is false, so that it must be looked for.
    if (Number.isNaN(distance)) return Number.NaN;
    difference = Math.max(difference, distance);
    largest = Math.max(largest, Math.abs(b[i] as number));
  }
  return difference === 0 ? 0 : difference / largest;
}

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
