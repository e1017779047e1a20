import type { Arrays, CompiledStep } from "../../../shared/engine/engine";
import type { Random } from "../../../shared/engine/random";

/** Vectors that a step moves. The step reads `current` and writes `spare`; then the two swap, so that no step allocates memory. */
export interface DoubleBuffer {
  current: Arrays;
  spare: Arrays;
}

export function doubleBuffer(current: Arrays): DoubleBuffer {
  const spare = Object.fromEntries(Object.entries(current).map(([name, values]) => [name, values.slice()]));
  return { current, spare };
}

/** Runs a step. Outputs that have the name of a vector of the buffer become its new values; the other outputs are returned. */
export async function advance(step: CompiledStep, buffer: DoubleBuffer, inputs: Arrays): Promise<Arrays> {
  const outputs = await step.run({ ...inputs, ...buffer.current }, buffer.spare);
  [buffer.current, buffer.spare] = [buffer.spare, buffer.current];
  return outputs;
}

/** Factors of channel dropout, [N, channels, 1, 1]: each is 0 with the entry's probability, else 1 / (1 - probability). */
export function dropoutFactors(
  entries: readonly { name: string; channels: number; probability: number }[],
  batchSize: number,
  random: Random,
): Arrays {
  return Object.fromEntries(
    entries.map(({ name, channels, probability }) => {
      const factor = () => (random.next() < probability ? 0 : 1 / (1 - probability));
      return [name, Float32Array.from({ length: batchSize * channels }, factor)];
    }),
  );
}
