import type { Arrays, CompiledStep } from "../../../shared/engine/engine";
import type { Random } from "../../../shared/engine/random";

/** Vectors of a step that come back moved: read from one set, written to the other, then swapped, so that nothing is allocated. */
interface DoubleBuffer {
  current: Arrays;
  spare: Arrays;
}

export function doubleBuffer(current: Arrays): DoubleBuffer {
  const spare = Object.fromEntries(Object.entries(current).map(([name, values]) => [name, values.slice()]));
  return { current, spare };
}

/** Runs a step whose outputs of the buffer's names are its next inputs; the other outputs are returned. */
export async function advance(step: CompiledStep, buffer: DoubleBuffer, inputs: Arrays): Promise<Arrays> {
  const outputs = await step.run({ ...inputs, ...buffer.current }, buffer.spare);
  [buffer.current, buffer.spare] = [buffer.spare, buffer.current];
  return outputs;
}

/** Channel dropout: per sample and channel 0 with the entry's probability, else 1 / (1 - probability); [N, channels, 1, 1]. */
export function dropoutFactors(
  entries: readonly { name: string; channels: number; probability: number }[],
  batchSize: number,
  random: Random,
): Arrays {
  return Object.fromEntries(
    entries.map(({ name, channels, probability }) => {
      const kept = 1 / (1 - probability);
      return [
        name,
        Float32Array.from({ length: batchSize * channels }, () => (random.next() < probability ? 0 : kept)),
      ];
    }),
  );
}
