import type { Engine } from "../shared/engine/engine";
import { BETWEEN, COMPILING, meter } from "./meter";

/** Keeps the processor busy. */
function work(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

it("counts each step by its name, its compilation, and the rest, which add up to the time that has passed", async () => {
  const engine: Engine = {
    name: "made up",
    compile: () => {
      work(5);
      const run = () => {
        work(10);
        return Promise.resolve({});
      };
      return Promise.resolve({ nodes: 1, outputs: {}, run, release: () => Promise.resolve() });
    },
  };
  const began = performance.now();
  const metered = meter(engine);
  const step = await metered.engine.compile(() => ({}), {}, "weights");
  for (let run = 0; run < 3; run++) await step.run({});
  work(20);
  const spent = metered.take();
  const passed = (performance.now() - began) / 1000;
  expect([...spent].map(([name, { runs }]) => [name, runs])).toEqual([
    [COMPILING, 1],
    ["weights", 3],
    [BETWEEN, 1],
  ]);
  expect(spent.get(COMPILING)!.seconds).toBeGreaterThanOrEqual(0.005);
  expect(spent.get("weights")!.seconds).toBeGreaterThanOrEqual(0.03);
  expect(spent.get(BETWEEN)!.seconds).toBeGreaterThanOrEqual(0.02);
  const all = [...spent.values()].reduce((sum, { seconds }) => sum + seconds, 0);
  expect(all).toBeLessThanOrEqual(passed);
  expect(all).toBeGreaterThanOrEqual(0.055);
  // What was taken is not counted again.
  await step.run({});
  expect([...metered.take().keys()]).toEqual(["weights", BETWEEN]);
});
