import type { Arrays } from "../../../shared/engine/engine";
import type { Random } from "../../../shared/engine/random";

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
