import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/root";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { operations } from "../../shared/space/groups";
import { PRESETS } from "../../shared/spec/bounds";
import { describeSpace, descriptionLines } from "../commands/space";
import { describedSpec, readSpec, requestSpec } from "./specFlags";

const folder = mkdtempSync(join(tmpdir(), "lathe-flags-"));
const before = process.env.INIT_CWD;
beforeAll(() => (process.env.INIT_CWD = folder));
afterAll(() => {
  if (before === undefined) delete process.env.INIT_CWD;
  else process.env.INIT_CWD = before;
  rmSync(folder, { recursive: true });
});

describe("a spec of flags", () => {
  beforeAll(() => writeFileSync(join(folder, "unknown.yaml"), "preset: tiny\nsede: 1\n"));

  it("overrides the file by flags; paths are relative to the folder in which npm was called", () => {
    writeFileSync(
      join(folder, "spec.yaml"),
      "preset: small\nseed: 3\nlabels: {a: b}\ndataset: {kind: camvid, path: data}\n",
    );
    const spec = readSpec({ file: "spec.yaml", seed: 7, epochs: 5, name: "mine", label: { c: "d" } });
    expect(spec).toMatchObject({
      preset: "small",
      seed: 7,
      training: { epochs: 5 },
      labels: { a: "b", c: "d", name: "mine" },
    });
    expect(spec.dataset).toMatchObject({ kind: DatasetKind.DATASET_KIND_CAMVID, path: join(folder, "data") });
  });

  it("takes the data folder of a preset's data set", () => {
    const { resolved } = requestSpec({ preset: "small", data: "." });
    expect(resolved.dataset).toMatchObject({ kind: DatasetKind.DATASET_KIND_CAMVID, path: folder });
  });

  it("drops the file's data folder for another data set", () => {
    const spec = readSpec({ file: "spec.yaml", dataset: "streets" });
    expect(spec.dataset).toEqual(DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_STREETS }));
  });

  it("takes the number of classes from the folder's classes.txt, unless the spec says it", () => {
    writeFileSync(join(folder, "classes.txt"), "sky\nroad 128 64 128\n\ncar\n");
    const flags = { preset: "small", dataset: "folder", data: "." };
    expect(requestSpec(flags)).toMatchObject({ spec: { space: { classes: 3 } }, space: { classes: 3 } });
    expect(describedSpec(flags).space.classes).toBe(3);
    writeFileSync(join(folder, "five.yaml"), "preset: small\nspace: {classes: 5}\ndataset: {kind: folder, path: .}\n");
    expect(requestSpec({ file: "five.yaml" }).space.classes).toBe(5);
    rmSync(join(folder, "classes.txt"));
    expect(() => requestSpec(flags)).toThrow("space.classes is not set, must be the number of classes of the folder");
  });

  it.each([
    [{}, "no spec is given"],
    [{ preset: "tiny", dataset: "coco" }, "must be one of streets, camvid, cityscapes, folder"],
    [{ file: "missing.yaml" }, "cannot be read"],
    [{ file: "unknown.yaml" }, "unknown.yaml has 1 fault: sede is 1, but there is no such field"],
    [{ preset: "tiny", data: "." }, "streets are generated"],
  ])("refuses %j", (flags, message) => expect(() => requestSpec(flags)).toThrow(message));
});

describe("the examples", () => {
  const examples = join(packageRoot(), "docs/examples");
  const files = readdirSync(examples).filter((name) => name.endsWith(".yaml"));

  it.each(files)("%s has no fault", (name) => {
    expect(() => describedSpec({ file: join(examples, name) })).not.toThrow();
  });
});

describe("space describe", () => {
  it.each(PRESETS)("needs no data for %s", (preset) => {
    const { resolved, space } = describedSpec({ preset });
    const about = describeSpace(resolved, space);
    // One depth group per stage, one operation group per block, two width groups per block and operation.
    const blocks = space.stages.reduce((sum, { maxDepth }) => sum + maxDepth, 0);
    const each = operations(space).length;
    expect(about.dimensions.map(({ groups }) => groups)).toEqual([
      space.stages.length,
      blocks,
      blocks * each,
      blocks * each,
    ]);
    expect(about.candidates).toBe(about.dimensions.reduce((sum, { candidates }) => sum + candidates, 0));
    expect(about.dimensions.reduce((sum, { log10Size }) => sum + log10Size, 0)).toBeCloseTo(about.log10Size, 9);
    const lines = descriptionLines(about).join("\n");
    for (const size of [about.log10Size, about.dimensions[1]!.log10Size]) expect(lines).toContain(size.toFixed(3));
    expect(lines).toContain("head of the search: search head");
    expect(about.largest.retrained.params).toBeGreaterThan(about.largest.searched.params);
  });

  it("names the widths of the head that a space searches", () => {
    const { resolved, space } = describedSpec({ preset: "tiny" });
    const headed = {
      ...space,
      pyramidChannels: 8,
      headWidths: { joined: [16, 32], pyramid: [0, 4, 8], detail: [8, 16] },
    };
    const about = describeSpace(resolved, headed);
    const lines = descriptionLines(about);
    const place = lines.indexOf("  head of the search: aggregation head with a pyramid of 8 channels");
    expect(lines.slice(place + 1, place + 4)).toEqual([
      "  joined widths: 16 32",
      "  pyramid widths: 0 4 8",
      "  detail widths: 8 16",
    ]);
    expect(about.candidates).toBe(describeSpace(resolved, space).candidates + 7);
    expect(about.log10Size).toBeCloseTo(describeSpace(resolved, space).log10Size + Math.log10(12), 9);
  });

  it("finds one fault in an unknown preset", () =>
    expect(() => describedSpec({ preset: "huge" })).toThrow(/^spec has 1 fault: preset is "huge"/));
});
