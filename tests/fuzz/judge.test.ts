import { faultOf, kindOf } from "./judge";
import { growthFault } from "./memory";

const answer = { details: "why", violations: [], messages: 0, ms: 5 };
const open = { deadlineMs: undefined, cancelAfterMs: undefined };
const short = { deadlineMs: 100, cancelAfterMs: undefined };
const named = [{ field: "epoch", description: "is 0" }];

it.each([
  ["an answer", { ...answer, code: "OK" }, open, undefined],
  ["a refusal by the state", { ...answer, code: "FAILED_PRECONDITION" }, open, undefined],
  ["a refusal with a field", { ...answer, code: "INVALID_ARGUMENT", violations: named }, open, undefined],
  [
    "a refusal without a field",
    { ...answer, code: "INVALID_ARGUMENT" },
    open,
    "INVALID_ARGUMENT without a named field: why",
  ],
  [
    "a refusal with a field without a name",
    { ...answer, code: "INVALID_ARGUMENT", violations: [{ field: "", description: "is 0" }] },
    open,
    "INVALID_ARGUMENT without a named field: why",
  ],
  ["INTERNAL", { ...answer, code: "INTERNAL" }, open, "INTERNAL: why"],
  ["UNKNOWN", { ...answer, code: "UNKNOWN" }, open, "UNKNOWN: why"],
  ["UNAVAILABLE", { ...answer, code: "UNAVAILABLE" }, open, "UNAVAILABLE: why"],
  ["the client's cancellation", { ...answer, code: "CANCELLED" }, { ...open, cancelAfterMs: 3 }, undefined],
  ["another cancellation", { ...answer, code: "CANCELLED" }, open, "CANCELLED: why"],
  ["the client's deadline", { ...answer, code: "DEADLINE_EXCEEDED", ms: 100 }, short, undefined],
  [
    "a deadline that has not passed",
    { ...answer, code: "DEADLINE_EXCEEDED" },
    short,
    "DEADLINE_EXCEEDED before the deadline of 100 ms",
  ],
  ["no answer", { ...answer, code: "DEADLINE_EXCEEDED", ms: 10_000 }, open, "no answer in 10 s"],
] as const)("%s is judged", (_, given, timing, fault) => {
  expect(faultOf(given, timing, 10_000)).toBe(fault);
});

it("faults that differ in numbers, ids and values are of one kind", () => {
  const kinds = ['INTERNAL: incident 0b6a4f2e-1c2d-4e5f-8a9b-0123456789ab of s-abcdefghijkl, "x" is 5'].concat(
    'INTERNAL: incident 1b6a4f2e-1c2d-4e5f-8a9b-0123456789ab of s-abcdefghijkm, "why" is -6.5',
  );
  expect(new Set(kinds.map(kindOf)).size).toBe(1);
  expect(kindOf("INTERNAL: a")).not.toBe(kindOf("INTERNAL: b"));
});

describe("memory", () => {
  it("that levels off is no fault, nor is a short run", () => {
    expect(growthFault([50, 90, 110, 115, 118, 119, 120, 120, 121, 120])).toBeUndefined();
    expect(growthFault([50, 100, 150, 200, 250])).toBeUndefined();
  });

  it("that goes on growing is a fault", () => {
    expect(growthFault([50, 80, 100, 120, 140, 160, 180, 200, 220])).toBe(
      "memory grows: 140 MiB in the middle third of the rounds, 200 MiB in the last, at most 162 MiB may be",
    );
  });
});
