import { LatheError } from "../shared/process/errors";
import { ConditionStatus, Search, SearchState } from "../shared/proto/lathe/v1/search";
import { resolve } from "../shared/spec/resolve";
import { commandError, errorLines, exitCode, outcomeError } from "./exit";
import { readSpec, requestSpec } from "./spec/specFlags";

const thrown = (run: () => unknown): LatheError => {
  try {
    run();
  } catch (error) {
    return LatheError.from(error);
  }
  throw new Error("nothing was thrown");
};

describe("errors of a command", () => {
  it("lists each violation once, on its own line", () => {
    const error = thrown(() => resolve(readSpec({ preset: "tiny", epochs: 0, seed: -1 })));
    expect(errorLines(error)).toEqual([
      `lathe: spec has ${error.violations.length} faults:`,
      ...error.violations.map(({ field, description }) => `  ${field} ${description}`),
    ]);
    expect(error.violations.map(({ field }) => field)).toEqual(expect.arrayContaining(["training.epochs", "seed"]));
    expect(exitCode(error)).toBe(2);
  });

  it("puts a single violation on the same line", () => {
    const error = thrown(() => requestSpec({ preset: "small", data: "/no/such/folder" }));
    expect(errorLines(error)).toEqual([
      'lathe: the camvid data set cannot be read: dataset.path is "/no/such/folder", which does not exist; give the data set\'s folder with --data',
    ]);
    expect(exitCode(error)).toBe(2);
  });

  it.each([
    ["ENOSPC", "lathe: /out/history.jsonl cannot be written: the disk is full (ENOSPC); free some space", 5],
    ["EACCES", "lathe: /out/history.jsonl cannot be used: EACCES: refused", 5],
    ["ERR_ASSERTION", "lathe: ERR_ASSERTION: refused", 1],
  ])("tells what the system refused (%s) from a fault of ours", (code, line, exit) => {
    const error = commandError(Object.assign(new Error(`${code}: refused`), { code, path: "/out/history.jsonl" }));
    expect(errorLines(error)).toEqual([line]);
    expect(exitCode(error)).toBe(exit);
  });

  it("does not accept a file as a data set", () => {
    const error = thrown(() => requestSpec({ preset: "small", data: __filename }));
    expect(error.violations[0]?.description).toContain("not a folder");
  });

  it.each([
    [SearchState.SEARCH_STATE_FAILED, 3, "search s-1 failed: DATASET_INVALID: no train.txt"],
    [SearchState.SEARCH_STATE_CANCELLED, 4, "search s-1 was cancelled"],
  ])("ends with the state of the search: %i", (state, code, message) => {
    const conditions = [{ type: "Failed", reason: "DATASET_INVALID", message: "no train.txt" }];
    const error = outcomeError(Search.fromPartial({ id: "s-1", state, conditions }));
    expect(error?.message).toBe(message);
    expect(exitCode(error!)).toBe(code);
  });

  it.each([
    [ConditionStatus.CONDITION_STATUS_TRUE, "kept: the argmax"],
    [ConditionStatus.CONDITION_STATUS_FALSE, "nothing is kept: the argmax"],
  ])("names what is kept of a cancelled search: %i", (status, text) => {
    const conditions = [{ type: "Kept", status, message: "the argmax" }];
    const error = outcomeError(
      Search.fromPartial({ id: "s-1", state: SearchState.SEARCH_STATE_CANCELLED, conditions }),
    );
    expect(error?.message).toBe(`search s-1 was cancelled; ${text}`);
  });

  it("has no error for a search that succeeded", () =>
    expect(outcomeError(Search.fromPartial({ state: SearchState.SEARCH_STATE_SUCCEEDED }))).toBeUndefined());

  it.each(["SEARCH_STATE", "NO_RESULT"])(
    "ends with 2 where the search's state does not allow the command: %s",
    (reason) => expect(exitCode(new LatheError("FAILED_PRECONDITION", "x", { reason }))).toBe(2),
  );

  it.each([
    ["UNAVAILABLE", 5],
    ["FAILED_PRECONDITION", 5],
    ["NOT_FOUND", 2],
    ["CANCELLED", 4],
    ["INTERNAL", 1],
  ] as const)("ends with %s as %i", (code, expected) => expect(exitCode(new LatheError(code, "x"))).toBe(expected));
});
