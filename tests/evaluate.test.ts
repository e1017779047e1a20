import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deployOnnx } from "../shared/network/deploy";
import { buildDiscrete } from "../shared/network/discrete";
import { networkOnnx } from "../shared/network/export";
import { randomBuffer, randomGenotype, smallSpace } from "../shared/testing/networks";
import { writeLabel, writeText } from "../shared/testing/pictures";
import { uniform } from "../shared/testing/spaces";
import { startCommand } from "./latheCommand";
import { System } from "./system";

const folder = mkdtempSync(join(tmpdir(), "lathe-remote-"));
const classes = ["road", "sky", "tree", "car", "person"];
let system: System;
beforeAll(async () => {
  const random = uniform(9);
  const genotype = randomGenotype(smallSpace(), random);
  const network = buildDiscrete(genotype, { kind: "search" });
  const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
  writeFileSync(join(folder, "derived.onnx"), networkOnnx(network, parameters, ["road", "sky", "bush", "car", "person"])); // prettier-ignore
  writeFileSync(join(folder, "deploy.onnx"), deployOnnx(network, parameters, { classes, search: "s-1" }));
  await writeText(join(folder, "data/classes.txt"), classes.join("\n"));
  for (const [split, name, shades] of [
    ["train", "a", [7]],
    ["validation", "b", [0, 60, 200]],
    ["validation", "c", [255, 3, 90, 90]],
  ] as const) {
    await writeLabel(join(folder, "data", split, "images", `${name}.png`), 40, 60, shades);
    await writeLabel(join(folder, "data", split, "labels", `${name}.png`), 40, 60, [0, 1, 3, 255, 4]);
  }
  system = await System.start({ LATHE_DATA_FOLDER: folder });
});
afterAll(async () => {
  await system.stop();
  rmSync(folder, { recursive: true });
});

async function lathe(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { ended, said } = startCommand(folder, args);
  return { code: await ended, ...said };
}

describe("lathe evaluate --address", () => {
  const there = () => ["--address", system.stack.addresses().discretization.grpc];

  it.each(["derived.onnx", "deploy.onnx"])("prints for %s what it prints without a service", async (model) => {
    const [local, remote] = await Promise.all([
      lathe("evaluate", model, "data", "--json"),
      lathe("evaluate", model, "data", "--json", ...there()),
    ]);
    expect(local.code).toBe(0);
    expect(remote).toEqual(local);
    expect(JSON.parse(remote.stdout)).toMatchObject({ images: 2, classesCounted: 4, predictedAt: { height: 4, width: 8 } }); // prettier-ignore
    const lines = await lathe("evaluate", model, "data", ...there());
    expect(lines.stdout).toContain("compared at 32x64; class maps of 4x8 were resized by nearest neighbour");
  });

  it("refuses in one line what its service refuses, and arguments that contradict each other", async () => {
    const outcomes = await Promise.all([
      lathe("evaluate", "data/classes.txt", "data", ...there()),
      lathe("evaluate", "deploy.onnx", "/etc", ...there()),
      lathe("evaluate", "--search", "s-none", ...there()),
      lathe("evaluate", "--search", "s-none"),
      lathe("evaluate", "deploy.onnx", "data", "--inherited"),
      lathe("evaluate", "--search", "s-none", "data", "more"),
      lathe("evaluate"),
    ]);
    expect(outcomes.map(({ code, stdout }) => [code, stdout])).toEqual([2, 2, 2, 5, 2, 2, 2].map((code) => [code, ""]));
    expect(outcomes.map(({ stderr }) => stderr)).toEqual([
      "lathe: 24 bytes are no ONNX model\n",
      "lathe: dataset folder /etc is outside of the folders of LATHE_DATA_FOLDER\n",
      'lathe: search "s-none" does not exist\n',
      expect.stringMatching(/^lathe: no stack is running here/) as string,
      "lathe: --inherited and --form belong to --search\n",
      'lathe: --search names the network, so "more" is an argument too many\n',
      "lathe: no model is given: name an ONNX file, or use --search id\n",
    ]);
  });
});
