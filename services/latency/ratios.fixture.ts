import type { Fragment, FragmentCalls } from "./ratios";

/** Fragments in memory, and the progress that was told. */
export function keeping(): FragmentCalls & { told: [number, number][] } {
  const fragments = new Map<string, Fragment>();
  const told: [number, number][] = [];
  return {
    told,
    known: (keys) => Promise.resolve(keys.map((key) => fragments.get(key))),
    keep: (key, ratio) => {
      const known = fragments.get(key);
      const fragment = { ratio: Math.min(known?.ratio ?? Infinity, ratio), rounds: (known?.rounds ?? 0) + 1 };
      fragments.set(key, fragment);
      return Promise.resolve(fragment);
    },
    progress: (done, of) => told.push([done, of]),
  };
}
