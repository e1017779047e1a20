import { PATIENCE_MS } from "../shared/testing/until";
import { fuzz } from "./fuzz/run";

it("three hundred random calls of every rpc find no fault in a whole stack", async () => {
  const lines: string[] = [];
  const numbers = Array.from({ length: 300 }, (_, number) => number);
  // The limit of the command would fail on a slow machine.
  const findings = await fuzz({ seed: 1, numbers, limitMs: PATIENCE_MS, say: (line) => lines.push(line) });
  expect(findings.faults.map(({ what, first }) => `${first?.call.number ?? "-"} ${what}`)).toEqual([]);
  const answers = [...findings.codes.values()].flatMap((codes) => [...codes.values()]);
  expect(answers.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(300);
});
