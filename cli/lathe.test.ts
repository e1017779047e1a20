import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ModelProto } from "../shared/proto/onnx/onnx";

const folder = mkdtempSync(join(tmpdir(), "lathe-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

const lathe = (...args: string[]) => latheWith({}, ...args);

function latheWith(settings: Record<string, string>, ...args: string[]): Promise<Outcome> {
  const tsx = pathToFileURL(require.resolve("tsx")).href;
  const { INIT_CWD: _, LATHE_ADDRESS: __, ...env } = process.env;
  const child = spawn(process.execPath, ["--import", tsx, join(__dirname, "lathe.ts"), ...args], {
    cwd: folder,
    env: { ...env, ...settings },
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

describe("lathe", () => {
  it("rejects a spec with ten faults, names all of them and starts nothing", async () => {
    writeFileSync(
      join(folder, "bad.yaml"),
      `preset: tiny
space: {input_height: 65, classes: 3, stem_channels: 1, scales: [3]}
training: {epochs: 0, batch_size: 0, weight_learning_rate: -1}
shrinking: {threshold: 2}
cost: {target: 7}
retraining: {dropout: 1}
`,
    );
    const { code, stdout, stderr } = await lathe("run", "-f", "bad.yaml", "--out", "out");
    expect(code).toBe(2);
    expect(stdout).toBe("");
    const [head, ...faults] = stderr.trimEnd().split("\n");
    expect(head).toMatch(/^lathe: spec has \d+ faults:$/);
    for (const field of [
      "space.input_height",
      "space.classes",
      "space.stem_channels",
      "space.scales",
      "training.epochs",
      "training.batch_size",
      "training.weight_learning_rate",
      "shrinking.threshold",
      "cost.target",
      "retraining.dropout",
    ])
      expect(faults.filter((line) => line.startsWith(`  ${field} is `))).toHaveLength(1);
    expect(existsSync(join(folder, "out"))).toBe(false);
  });

  it("refuses an engine that this machine lacks before it starts the stack, and leaves nothing behind", async () => {
    // No libtensorflow has TensorRT, on any machine.
    const settings = { LATHE_ENGINE: "tensorflow", LATHE_PROVIDER: "tensorrt" };
    const { code, stdout, stderr } = await latheWith(settings, "run", "--preset", "tiny", "--out", "refused");
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toBe("lathe: provider is tensorrt, must be cpu or cuda with engine tensorflow\n");
    expect(existsSync(join(folder, "refused"))).toBe(false);
  });

  it("distinguishes usage and environment errors by exit code, each in one line, and prints only JSON", async () => {
    const [flag, port, service, space] = await Promise.all([
      lathe("run", "--bogus"),
      lathe("search", "list", "--address", "127.0.0.1:99999"),
      lathe("search", "get", "s-1", "--address", "127.0.0.1:1"),
      lathe("space", "describe", "--preset", "tiny", "--json"),
    ]);
    expect(flag).toEqual({ code: 2, stdout: "", stderr: "lathe: unknown option '--bogus'\n" });
    expect(port).toMatchObject({ code: 2, stderr: expect.stringContaining("port from 1 to 65535") as string });
    expect(service).toMatchObject({ code: 5, stdout: "" });
    expect(service.stderr).toBe(
      "lathe: search service at 127.0.0.1:1 is not reachable: connect ECONNREFUSED 127.0.0.1:1; check the address and that the service is running\n",
    );
    expect(space).toMatchObject({ code: 0, stderr: "" });
    expect((JSON.parse(space.stdout) as { groups: number }).groups).toBe(54);
  });
});

describe("lathe network", () => {
  const example = (name: string) => join(__dirname, "../docs/examples/networks", name);

  it("builds the paper's network: a line per part, costs as JSON, ONNX", async () => {
    const [text, json] = await Promise.all([
      lathe("network", "build", "-f", example("paper.json")),
      lathe(
        ...["network", "build", "-f", example("paper.json"), "--input", "32x64", "--classes", "3", "--head", "search"],
        ...["--out", "built/paper.onnx", "--json"],
      ),
    ]);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toMatch(/^512x1024 pixels, 19 classes, aggregation head with a pyramid of 40 channels\n/);
    expect(text.stdout).toMatch(/stage2\/block1 +d4s2 112-112-124 +79,768 +162\.40 M\n/);
    expect(text.stdout).toMatch(/total +1,007,506 +10\.83 G\n/);
    expect(json).toMatchObject({ code: 0, stderr: "" });
    const { onnx, genotype, parts } = JSON.parse(json.stdout) as { onnx: string; genotype: object; parts: object[] };
    expect(onnx).toBe(join(folder, "built/paper.onnx"));
    expect(genotype).toMatchObject({ inputHeight: 32, inputWidth: 64, classes: 3 });
    expect(parts).toHaveLength(1 + 2 + 13 + 1);
    const { graph } = ModelProto.decode(readFileSync(onnx));
    expect(graph?.output.map(({ name }) => name)).toEqual(["logits"]);
  });

  it("rejects an invalid network with each fault on its own line, and starts nothing", async () => {
    const stages = [{ channels: 64, blocks: [{ dilation: 0, scale: 3, middleWidth: 65, outputWidth: 8 }] }];
    writeFileSync(join(folder, "bad.json"), JSON.stringify({ inputHeight: 30, inputWidth: 64, classes: 5, stages }));
    writeFileSync(join(folder, "odd.json"), '{"depth": 3, "classes": "many"}');
    const [build, train, odd, size] = await Promise.all([
      lathe("network", "build", "-f", "bad.json", "--out", "bad.onnx"),
      lathe("network", "train", "-f", "bad.json", "--dataset", "streets", "--out", "bad"),
      lathe("network", "build", "-f", "odd.json"),
      lathe("network", "build", "-f", "bad.json", "--input", "30"),
    ]);
    const faults = [
      "lathe: genotype has 6 faults:",
      "  stem_channels is 0, must be an integer between 4 and 4096 (3 channels are pooled)",
      "  stages has 1 entries, must have between 2 and 4",
      "  stages[0].blocks[0].dilation is 0, must be an integer between 1 and 64",
      "  stages[0].blocks[0].middle_width is 65, must be an integer between 1 and 64",
      "  stages[0].blocks[0].scale is 3, must be 1 or 2",
      "  input_height is 30, must be a positive multiple of 4, at most 8192",
    ];
    for (const refused of [build, train])
      expect(refused).toEqual({ code: 2, stdout: "", stderr: `${faults.join("\n")}\n` });
    expect(existsSync(join(folder, "bad.onnx")) || existsSync(join(folder, "bad"))).toBe(false);
    expect(odd.code).toBe(2);
    expect(odd.stderr).toMatch(/^lathe: odd\.json has 2 faults:\n {2}depth is 3, .*\n {2}classes is "many", .*\n$/);
    expect(size).toMatchObject({ code: 2, stdout: "" });
    expect(size.stderr).toMatch(/height x width in pixels, as 240x320/);
  });
});
