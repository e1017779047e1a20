import { withTiming, type Fragment, type FragmentCalls } from "./ratios";

/** Fragments in memory, and the progress that was told. */
export function keeping(): FragmentCalls & { told: [number, number][] } {
  const fragments = new Map<string, Fragment>();
  const told: [number, number][] = [];
  return {
    told,
    known: (keys) => Promise.resolve(keys.map((key) => fragments.get(key))),
    keep: (key, timing) => {
      const fragment = withTiming(fragments.get(key), timing);
      fragments.set(key, fragment);
      return Promise.resolve(fragment);
    },
    progress: (done, of) => told.push([done, of]),
  };
}
