import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "lathe-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

function lathe(...args: string[]): Promise<Outcome> {
  const tsx = pathToFileURL(require.resolve("tsx")).href;
  const { INIT_CWD: _, LATHE_ADDRESS: __, ...env } = process.env;
  const child = spawn(process.execPath, ["--import", tsx, join(__dirname, "lathe.ts"), ...args], { cwd: folder, env });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

describe("lathe", () => {
  it("refuses a spec with ten faults by naming all of them, and starts nothing", async () => {
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

  it("tells usage from environment by its exit code, each in one line, and prints JSON alone", async () => {
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
      "lathe: search service at 127.0.0.1:1 is not reachable: connect ECONNREFUSED 127.0.0.1:1; check the address, and that the service runs\n",
    );
    expect(space).toMatchObject({ code: 0, stderr: "" });
    expect((JSON.parse(space.stdout) as { groups: number }).groups).toBe(54);
  });
});
