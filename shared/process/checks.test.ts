import { judged, leftOut, ok, report } from "./checks";

it("a report has a line per check and counts them; a check that throws has failed", async () => {
  const lines: string[] = [];
  const passed = await report(
    [
      { name: "a", run: () => ok("2 things") },
      { name: "b", run: () => Promise.resolve(judged(["x is wrong", "y too"], "")) },
      { name: "c", run: () => leftOut("no tool; install it") },
      { name: "d", run: () => Promise.reject(new Error("broke")) },
    ],
    (line) => lines.push(line),
  );
  expect(passed).toBe(false);
  expect(lines).toEqual([
    "ok       a: 2 things",
    "failed   b: \n  x is wrong\n  y too",
    "left out c: no tool; install it",
    "failed   d: broke",
    "1 passed, 2 failed, 1 left out",
  ]);
  expect(await report([{ name: "a", run: () => judged([], "all") }], () => undefined)).toBe(true);
});
