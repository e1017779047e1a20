import { macsTable } from "../../../shared/space/cost";
import { resolve } from "../../../shared/spec/resolve";
import { briefSpec } from "../../../shared/testing/training";
import { measurePace } from "./pace";
import { profileSteps } from "./profile";

const { spec, space } = resolve(briefSpec());
const engine = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;

it("profiles both steps of a search's whole supernet, by part of the network", async () => {
  const job = { spec, space, table: macsTable(space), warmUp: 1, runs: 2 };
  const report = await profileSteps(engine, job, new AbortController().signal);
  expect(report).toMatchObject({ threads: 1, batchSize: 4, runs: 2 });
  expect(report.steps.map(({ step }) => step)).toEqual(["weights", "alphas"]);
  const [weights, alphas] = report.steps;
  const network = ["stem", "stage1/reduction", "stage1/block1", "stage1/block2", "stage1/exits", "stage2/reduction"];
  const around = ["head", "choices", "loss", "parameters", "optimizer"];
  for (const step of report.steps) {
    const parts = new Set(step.times.map(({ part }) => part));
    for (const part of [...network, "stage2/block1", "stage2/block2", "stage2/exits", ...around])
      expect(parts).toContain(part);
    expect(step.seconds).toBeGreaterThan(0);
    expect(step.profiledSeconds).toBeGreaterThan(0);
  }
  // The architecture parameters need no gradient of the weights.
  const families = (step = weights) => new Set(step?.times.map(({ family }) => family));
  expect(families(weights)).toContain("convolution, weight gradient");
  expect(families(alphas)).not.toContain("convolution, weight gradient");
  expect(weights!.macs * 2).toBe(alphas!.macs * 3);
});

it("stops between steps when its signal aborts", async () => {
  const job = { spec, space, table: macsTable(space), warmUp: 1, runs: 2 };
  await expect(profileSteps(engine, job, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
});

it("measures the steps of the supernet and of the largest network's retraining", async () => {
  const job = { spec, space, table: macsTable(space), warmUp: 1, runs: 2 };
  const pace = await measurePace(engine, job, new AbortController().signal);
  expect(Object.keys(pace)).toEqual(["weights", "alphas", "retraining"]);
  for (const seconds of Object.values(pace)) expect(seconds).toBeGreaterThan(0);
  await expect(measurePace(engine, job, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
});
