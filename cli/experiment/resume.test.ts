import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { checkCells, type CheckedCell } from "./check";
import { parseExperiment } from "./definition";
import { readManifest, readResult, takeExperimentFolder, writeFailure, writeManifest, type Failure } from "./folder";
import { cellsOf } from "./grid";
import { openCells } from "./resume";

const root = mkdtempSync(join(tmpdir(), "lathe-experiment-"));
afterAll(() => rmSync(root, { recursive: true }));

const cellsWith = (more = "", epochs = 9): CheckedCell[] => {
  const text = `name: a\nbase: {preset: tiny, training: {epochs: ${epochs}} ${more}}\nseeds: [1, 2]`;
  return checkCells(cellsOf(parseExperiment(text, "a.yaml")), {}, "a.yaml");
};
/** result.json as far as resuming reads it. */
const resultOf = ({ resolved }: CheckedCell) => ({ spec: SearchSpec.toJSON(resolved) }) as Record<string, unknown>;

function open(
  cells: CheckedCell[],
  results: Record<string, Record<string, unknown>>,
  failures: Record<string, Failure> = {},
) {
  const found = { result: (cell: string) => results[cell], failure: (cell: string) => failures[cell] };
  return openCells(cells, "id", found, "runs/a");
}

describe("an experiment that is run again", () => {
  const cells = cellsWith();
  const [first, second] = cells as [CheckedCell, CheckedCell];

  it("skips a cell with a result", () =>
    expect(open(cells, { s1: resultOf(first) }).map(({ name }) => name)).toEqual(["s2"]));

  it("requests the same search until it has failed, then a new one", () => {
    const ids = (failures: Record<string, Failure> = {}) => open(cells, {}, failures).map(({ requestId }) => requestId);
    expect(ids()).toEqual(ids());
    for (const id of ids()) expect(id).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
    const failed = ids({ s2: { search: "s-1", attempts: 1, message: "failed" } });
    expect(failed[0]).toBe(ids()[0]);
    const again = ids({ s2: { search: "s-2", attempts: 2, message: "failed" } });
    expect(new Set([ids()[0], ids()[1], failed[1], again[1]]).size).toBe(4);
  });

  it("requests another search for another spec or folder", () => {
    const id = (of: CheckedCell[], experiment = "id") =>
      openCells(of, experiment, { result: () => undefined, failure: () => undefined }, "runs/a")[0]!.requestId;
    expect(new Set([id(cells), id(cellsWith("", 8)), id(cells, "other")]).size).toBe(3);
  });

  it("rejects results of another spec, with the differences of all such cells", () => {
    const changed = cellsWith(", cost: {target: 0.3}", 7);
    expect(() => open(changed, { s1: resultOf(first), s2: resultOf(second) })).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        violations: ["s1", "s2"].map((field) => ({
          field,
          description:
            "has a result of another spec (training.epochs was 9, is 7; cost.target was 0.6, is 0.3): remove its folder, or give another --out",
        })),
      }) as Error,
    );
  });

  it("accepts a result whose spec differs only in labels or lacks a field with a default", () => {
    const result = resultOf(first);
    const { band: _, ...cost } = (result.spec as { cost: Record<string, unknown> }).cost;
    const older = { spec: { ...(result.spec as object), cost, labels: { team: "other" } } };
    expect(open(cells, { s1: older }).map(({ name }) => name)).toEqual(["s2"]);
  });
});

describe("the folder of an experiment", () => {
  const planned = [{ name: "s1", algorithm: "ssr", target: 0.6, seed: 1 }];

  it("keeps its id when it is reopened, and stores the current cells", () => {
    const folder = join(root, "kept");
    const { id } = takeExperimentFolder(folder, "a", planned);
    expect(readManifest(folder)).toBeUndefined();
    writeManifest(folder, { name: "a", id, cells: planned });
    expect(takeExperimentFolder(folder, "a", [])).toEqual({ name: "a", id, cells: [] });
  });

  it("is rejected and left unchanged if it belongs to something else", () => {
    const folder = mkdtempSync(join(root, "other-"));
    writeFileSync(join(folder, "notes.txt"), "mine");
    expect(() => takeExperimentFolder(folder, "a", [])).toThrow("holds files of another program");
    const second = join(root, "second");
    writeManifest(join(takeFolder(second)), { name: "b", id: "1", cells: [] });
    expect(() => takeExperimentFolder(second, "a", [])).toThrow('belongs to the experiment "b"');
    expect(() => takeExperimentFolder(join(folder, "notes.txt"), "a", [])).toThrow("cannot be used");
    expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("mine");
  });

  it("treats a truncated result as missing", () => {
    const folder = takeFolder(join(root, "cut"));
    writeFailure(folder, "s1", { search: "s", attempts: 1, message: "m" });
    writeFileSync(join(folder, "s1", "result.json"), '{"search": "s-');
    expect(readResult(folder, "s1")).toBeUndefined();
  });

  function takeFolder(folder: string): string {
    takeExperimentFolder(folder, "b", []);
    return folder;
  }
});
