import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onnxMetadata } from "../shared/engine/onnx";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { writeColors, writeImage, writeLabel, writeText } from "../shared/testing/pictures";
import { startCommand, type Command } from "./latheCommand";
import { ownFolders } from "./ownFolders";
import { smallSpec } from "./specs";
import { newFolder } from "./system";

const folder = newFolder();
const LICENSE = "CC BY 4.0, of nobody";
const started: Command[] = [];
const at = (...names: string[]): string => join(folder, ...names);
const run = (data: string, out: string, spec = "spec.yaml"): Command => {
  const command = startCommand(folder, ["run", "-f", spec, "--dataset", "folder", "--data", data, "--out", out]);
  started.push(command);
  return command;
};
beforeAll(() => {
  const { dataset: _, ...spec } = SearchSpec.toJSON(smallSpec({ training: { epochs: 2, batchSize: 4 } })) as Record<
    string,
    unknown
  >;
  const dataset = { kind: "DATASET_KIND_FOLDER", license: LICENSE };
  writeFileSync(at("spec.yaml"), JSON.stringify(spec));
  writeFileSync(at("licensed.yaml"), JSON.stringify({ ...spec, dataset }));
});
afterEach(() => started.splice(0).forEach(({ child }) => child.kill("SIGKILL")));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("a folder with class_dict.csv is searched as it lies, and what is assumed and lacking is said before the first epoch", async () => {
  await writeText(at("kaggle/class_dict.csv"), "name,r,g,b\nRoad,9,9,9\nSky,80,90,200\nCar,200,0,0\nVoid,0,0,0\n");
  for (const split of ["train", "val"])
    for (const stem of ["1", "2", "3", "4"]) {
      await writeImage(at(`kaggle/${split}/${stem}.png`), 32, 64, 50);
      await writeColors(at(`kaggle/${split}_labels/${stem}_L.png`), 32, 64, [
        [9, 9, 9],
        [80, 90, 200],
        [0, 0, 0],
      ]);
    }
  await writeText(at("kaggle/train/Thumbs.db"), "no image");
  const { said, ended } = run("kaggle", "out", "licensed.yaml");
  expect({ code: await ended, stderr: said.stderr }).toEqual({ code: 0, stderr: "" });
  const lines = said.stdout.split("\n");
  const before = lines.slice(
    0,
    lines.findIndex((line) => line.includes("starting the local stack")),
  );
  expect(before).toEqual(
    expect.arrayContaining([
      "note: passed over 1 file that cannot be images or labels: Thumbs.db",
      "note: names of labels end in _L, where they pair",
      expect.stringMatching(/^warning: class "Car" has no pixel/),
    ]),
  );
  const told = lines.findIndex((line) =>
    line.includes('alarm LABELS before the first epoch: class "Car" has no pixel'),
  );
  expect(told).toBeGreaterThan(0);
  expect(told).toBeLessThan(lines.findIndex((line) => line.includes("search epoch 1/2")));
  const { classScores } = JSON.parse(readFileSync(at("out/result.json"), "utf8")) as {
    classScores: { name: string }[];
  };
  expect(classScores.map(({ name }) => name)).toEqual(["Road", "Sky", "Car"]);
  for (const name of ["derived.onnx", "network.onnx", "deploy.onnx"])
    expect(onnxMetadata(readFileSync(at("out", name))).license).toBe(LICENSE);
  expect(readFileSync(at("out/MODEL_CARD.md"), "utf8")).toContain(`as its user gave it: ${LICENSE}. It may bind`);
});

it("masks of 0 and 255 are refused with what to write into the spec, and files that do not pair, before anything starts", async () => {
  await writeText(at("binary/classes.txt"), "skin\nwound\n");
  for (const split of ["train", "val"])
    for (const stem of ["1", "2", "3", "4"]) {
      await writeImage(at(`binary/${split}/images/${stem}.png`), 32, 64);
      await writeLabel(at(`binary/${split}/masks/${stem}.png`), 32, 64, [0, 255]);
    }
  const refused = run("binary", "refused");
  expect(await refused.ended).not.toBe(0);
  const { stdout, stderr: text } = refused.said;
  expect(stdout).not.toContain("starting the local stack");
  expect(text.match(/has no pixel/g)).toHaveLength(1);
  expect(text).toContain('class "wound" has no pixel; 50.0 % of the training pixels are ignored (255)');
  expect(text).toContain("if 255 is a class, say so in the spec, dataset.label_values: {0: skin, 255: wound}");

  rmSync(at("binary/val/masks/3.png"));
  const unpaired = run("binary", "unpaired");
  expect(await unpaired.ended).not.toBe(0);
  expect(unpaired.said.stderr).toContain("fault: images without a label (1)\n  val/images/3.png\n");
  expect(unpaired.said.stdout).not.toContain("starting the local stack");
});

it("lathe dataset check names every fault with its files without a stack, in text and in JSON", async () => {
  for (const split of ["train", "val"])
    for (const stem of Array.from({ length: 12 }, (_, i) => String(i).padStart(2, "0"))) {
      await writeImage(at(`checked/${split}/images/${stem}.png`), 8, 8, 10 * Number(stem) + (split === "val" ? 5 : 0));
      await writeLabel(at(`checked/${split}/labels/${stem}.png`), 8, 8, split === "train" ? [0, 1] : [0, 1, 7]);
    }
  await writeText(at("checked/classes.txt"), "sky\nroad\n");
  const check = (...args: string[]): Command => {
    const command = startCommand(folder, ["dataset", "check", ...args]);
    started.push(command);
    return command;
  };
  const faulty = check("checked");
  expect(await faulty.ended).toBe(2);
  const what =
    "label has the unknown value 7 at x 2, y 0 (21 pixels): known are 0 to 1, 255; dataset.label_values and dataset.ignore_values of the spec say what other values mean";
  expect(faulty.said.stdout.split("\n")).toEqual([
    "train: 12 examples, 8x8 (12); 0.0 % of 768 pixels ignored",
    "validation: 12 examples, 8x8 (12); 0.0 % of 0 pixels ignored",
    "class   train  images  validation  images",
    "sky    50.0 %   12/12       0.0 %    0/12",
    "road   50.0 %   12/12       0.0 %    0/12",
    `fault: ${what} (12)`,
    ...Array.from({ length: 10 }, (_, i) => `  val/labels/0${i}.png`),
    "  and 2 more",
    "",
  ]);
  expect(faulty.said.stderr).toBe(`lathe: ${at("checked")} has 12 faults\n`);

  writeFileSync(at("checked.yaml"), "preset: tiny\ndataset: {kind: folder, path: checked, ignore_values: [7]}\n");
  const mended = check("checked.yaml", "--json");
  expect({ code: await mended.ended, stderr: mended.said.stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(mended.said.stdout)).toMatchObject({
    validation: {
      examples: 12,
      ignoredPixels: 252,
      classes: [{ name: "sky", pixels: 264, images: 12 }, { name: "road" }],
    },
    faults: [],
  });
  const streets = check("spec.yaml");
  expect(await streets.ended).toBe(2);
  expect(streets.said.stderr).toContain("whose scenes are generated: there is no file to check");
});

it.each(["voc", "kaggle"] as const)("a folder as %s has it is read as it lies, without a fault", async (kind) => {
  await ownFolders[kind](at(`drawn-${kind}`), 10, 1);
  const command = startCommand(folder, ["dataset", "check", `drawn-${kind}`, "--json"]);
  started.push(command);
  expect({ code: await command.ended, stderr: command.said.stderr }).toEqual({ code: 0, stderr: "" });
  const { faults, train } = JSON.parse(command.said.stdout) as { faults: string[]; train: SplitJson };
  const images = Object.fromEntries(train.classes.map(({ name, images }) => [name, images]));
  expect({ faults, examples: train.examples }).toEqual({ faults: [], examples: 8 });
  expect(images).toMatchObject(kind === "voc" ? { background: 8, cat: 0 } : { sky: 8, road: 8 });
  expect(images.car).toBeGreaterThan(0);
});

it("lathe init writes a spec for a folder without splits and classes, which the other commands read", async () => {
  for (const stem of ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]) {
    await writeImage(at(`undivided/images/${stem}.png`), 48, 96, 10 * Number(stem));
    await writeLabel(at(`undivided/masks/${stem}.png`), 48, 96, [0, 255, 255]);
  }
  const lathe = async (...args: string[]): Promise<Command["said"] & { code: number | null }> => {
    const command = startCommand(folder, args);
    started.push(command);
    const code = await command.ended;
    return { code, ...command.said };
  };
  const init = await lathe("init", "undivided", "-o", "own.yaml", "--preset", "tiny");
  expect(init).toMatchObject({ code: 0, stderr: "" });
  expect(init.stdout).toContain(
    "8 training and 2 validation images, divided at random with seed 1, 20 % for validation.",
  );
  expect(init.stdout).toContain("assumed: 0 is the background and 255 the foreground");
  expect(init.stdout).toMatch(
    /Preset tiny: at most about \d+ minutes? for the search and \d+ minutes? for the retraining/,
  );
  expect(init.stdout).toMatch(
    /no fault\nwritten: own.yaml, own.train.txt, own.validation.txt\nnext: lathe run -f own.yaml\n$/,
  );
  expect(await lathe("dataset", "check", "own.yaml")).toMatchObject({ code: 0, stderr: "" });
  const space = await lathe("space", "describe", "-f", "own.yaml");
  expect(space).toMatchObject({ code: 0, stderr: "" });
  expect(space.stdout).toContain("48x96");
  expect(await lathe("init", "undivided", "-o", "own.yaml")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("exists already") as string,
  });
});

interface SplitJson {
  examples: number;
  classes: { name: string; images: number }[];
}
