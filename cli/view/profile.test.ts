import { smallSpace } from "../../shared/testing/networks";
import { profileLines } from "./profile";

it("a profile is printed by family and by part, in the order of the network, with the rate of the convolutions", () => {
  const time = (part: string, op: string, ms: number, family = "elementwise" as const) => ({
    part,
    family,
    op,
    nodes: 2,
    seconds: ms / 1e3,
  });
  const lines = profileLines("tiny", smallSpace(), {
    ...{
      engine: "onnxruntime/cpu 1",
      formulation: "blocked",
      threads: 2,
      batchSize: 8,
      runs: 10,
      overheadSeconds: 4.04e-6,
    },
    steps: [
      {
        ...{ step: "weights", seconds: 0.02, profiledSeconds: 0.05, macs: 3e9 },
        times: [
          time("other", "ReorderInput", 1),
          time("head", "Add", 2),
          time("stage1/block10", "Add", 1),
          time("stage1/block2", "Mul", 3),
          time("stage1/block2", "Add", 1),
          time("stage1/reduction", "Add", 1),
          time("stem", "Add", 0.5),
          time("optimizer", "Sqrt", 0.5),
        ],
      },
    ],
  });
  expect(lines[0]).toBe(
    "steps of the whole supernet of tiny: batch 8, 32x64, onnxruntime/cpu 1, blocked, 2 threads, medians of 10",
  );
  expect(lines[1]).toContain("4.0 us per node are subtracted");
  expect(lines).toContain("weights step: 20.0 ms without profiler (50.0 ms with it, of which 10.0 ms in its 16 nodes)");
  expect(lines).toContain("  convolutions: 3.00 GMACs, at 300 GFLOP/s over the whole step");
  const rows = lines
    .slice(lines.findIndex((line) => line.includes("by part")) + 1)
    .map((line) => line.trim().split(/ {2,}/));
  expect(rows.map(([part]) => part)).toEqual(
    ["stem", "stage1/reduction", "stage1/block2", "stage1/block10", "head", "optimizer", "other"], // prettier-ignore
  );
  expect(rows[2]).toEqual(["stage1/block2", "4.0", "40.0", "4", "Mul 3.0, Add 1.0"]);
});
