import { buildSupernet } from "../../../shared/network/supernet";
import { initialArchitecture } from "../../../shared/space/groups";
import { resolve } from "../../../shared/spec/resolve";
import { briefSpec, halve } from "../../../shared/testing/training";
import { shrunk } from "./supernetState";

describe("shrunk", () => {
  it("keeps the moments of surviving candidates, each with its own row", () => {
    const { space } = resolve(briefSpec());
    const before = initialArchitecture(space);
    const supernet = buildSupernet(space, before);
    const count = (size: number, from: number) => Float32Array.from({ length: size }, (_, i) => from + i);
    const numbered = (size: number) => ({ values: count(size, 0), m: count(size, 1e5), v: count(size, 2e5), steps: 7 });
    const state = {
      supernet,
      weights: numbered(supernet.weights.size),
      stats: count(supernet.stats.size, 0),
      alphas: numbered(supernet.alphas.size),
    };
    const after = shrunk(state, halve(space, before, 1));
    for (const role of ["weights", "alphas"] as const) {
      const { values, m, v, steps } = after[role];
      expect(values.length).toBeLessThan(state[role].values.length);
      expect([...m]).toEqual([...values].map((value) => value + 1e5));
      expect([...v]).toEqual([...values].map((value) => value + 2e5));
      expect(steps).toBe(7);
    }
    expect(after.stats.length).toBe(after.supernet.stats.size);
  });
});
