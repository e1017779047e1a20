import { digests, outcome } from "./outcome";
import { smallSpec } from "./specs";
import { System } from "./system";

let system: System;
beforeAll(async () => {
  // With two threads: results must not depend on which one is faster.
  system = await System.start({ LATHE_THREADS: "2" });
});
afterAll(() => system.stop());

it("the same seed gives the same history, genotype and bit-equal weights; another seed does not", async () => {
  const runs = [];
  for (const seed of [7, 7, 8]) runs.push((await system.run(smallSpec({ seed }))).history);
  const [first, second, other] = runs;
  const files = digests(first!);
  expect(Object.keys(files).sort()).toEqual(["derived.onnx", "derived.weights", "network.onnx", "network.weights"]);
  expect(digests(second!)).toEqual(files);
  expect(outcome(second!)).toEqual(outcome(first!));
  for (const [kind, sha256] of Object.entries(digests(other!))) expect(sha256).not.toBe(files[kind]);
});
