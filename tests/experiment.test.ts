import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { compiled } from "./compiled";
import { smallSpec } from "./specs";
import { newFolder, SERVICE_ENV } from "./system";

const folder = newFolder();
const out = join(folder, "out");
afterAll(() => rmSync(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `lathe experiment ...`, and sends SIGINT once stdout matches `interruptAt`. */
function experiment(args: string[], interruptAt?: RegExp): Promise<Outcome> {
  const { INIT_CWD: _, ...env } = process.env;
  const command = [join(compiled(), "cli/lathe.js"), "experiment", ...args];
  const child = spawn(process.execPath, command, { cwd: folder, env: { ...env, ...SERVICE_ENV } });
  let [stdout, stderr, interrupted] = ["", "", false];
  child.stdout.on("data", (data: Buffer) => {
    stdout += data.toString();
    if (interrupted || !interruptAt?.test(stdout)) return;
    interrupted = true;
    child.kill("SIGINT");
  });
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

/** Three cells: a search that succeeds, one that fails undecided after its epoch, and one that is interrupted while it runs. */
function grid(epochs: number): string {
  const undecided = {
    training: { epochs: 1, warmup_epochs: 0, alpha_learning_rate: 1e-6 },
    shrinking: { first_epoch: 1, at_budget_end: "fail" },
  };
  const base = {
    ...(SearchSpec.toJSON(smallSpec()) as object),
    training: { epochs, batch_size: 4, alpha_learning_rate: 0.5 },
  };
  const variants = { good: null, undecided, late: { seed: 8 } };
  return JSON.stringify({ name: "three", base, variants });
}

const json = (...path: string[]) => JSON.parse(readFileSync(join(out, ...path), "utf8")) as Record<string, unknown>;
const run = ["run", "-f", "grid.json", "--out", "out"];

describe("an experiment", () => {
  let created: string;

  it("runs its cells one by one, records a failed cell, and can be interrupted", async () => {
    writeFileSync(join(folder, "grid.json"), grid(6));
    const { code, stdout, stderr } = await experiment(run, /cell late \(3 of 3\)\n[^]*search epoch 1\//);
    expect(stderr).toMatch(/the same command continues with the others\nlathe: interrupted \(SIGINT\)\n$/);
    expect(code).toBe(4);
    expect(json("good", "result.json")).toMatchObject({ decidedBy: "DECIDED_BY_SHRINKING" });
    expect(json("undecided", "failed.json")).toMatchObject({ attempts: 1 });
    expect(existsSync(join(out, "late", "result.json"))).toBe(false);
    created = /cell late \(3 of 3\)\nsearch (s-\w+) created/.exec(stdout)![1]!;
  });

  it("says which search of another cell goes on first", async () => {
    const { code, stdout } = await experiment([...run, "--only", "undecided"]);
    expect(code).toBe(3);
    expect(stdout).toContain(
      `search ${created} of cell late of an earlier run goes on, and its work comes before that of this run\ncell undecided (1 of 1)`,
    );
  });

  it("continues the same search, leaves finished cells alone, and reports the failed cell at the end", async () => {
    const before = json("good", "result.json");
    const { code, stdout, stderr } = await experiment([...run, "--json"]);
    expect({ code, stderr }).toEqual({
      code: 3,
      stderr: expect.stringMatching(/lathe: 1 of 2 cells failed:\n {2}undecided: /) as string,
    });
    expect((JSON.parse(stdout) as { cells: object[] }).cells).toMatchObject([
      { cell: "good", state: "finished" },
      { cell: "undecided", state: "failed" },
      { cell: "late", state: "finished" },
    ]);
    expect(json("late", "result.json")).toMatchObject({
      search: created,
      spec: { labels: { experiment: "three", cell: "late", variant: "late", algorithm: "ssr" } },
    });
    expect(json("undecided", "failed.json")).toMatchObject({ attempts: 3 });
    expect(json("good", "result.json")).toEqual(before);
    // The history is complete, including the events before the interruption.
    const [first] = readFileSync(join(out, "late", "history.jsonl"), "utf8").split("\n");
    expect(JSON.parse(first!)).toMatchObject({ sequence: expect.anything() as unknown, searchCreated: {} });
    expect(existsSync(join(out, "nats"))).toBe(false);
  });

  it("has result folders from which genotype and figures are derived again, and a change is found", () => {
    const reproduce = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [join(compiled(), "cli/lathe.js"), "reproduce", ...args],
        { cwd: folder, env: { ...process.env, INIT_CWD: folder }, encoding: "utf8" },
      );
      return { status, stdout, stderr };
    };
    const good = reproduce("out/good");
    expect({ ...good, stdout: "" }).toEqual({ status: 0, stdout: "", stderr: "" });
    const names = [
      "files",
      "spec",
      "space",
      "decisions",
      "genotype",
      "sizes",
      "measurements",
      "derived.onnx",
      "network.onnx",
      "deploy.onnx",
    ];
    const lines = good.stdout.trim().split("\n");
    expect(lines.slice(0, -1).map((line) => line.split(/ {2,}/).slice(0, 2))).toEqual(
      names.map((name) => ["identical", name]),
    );
    expect(lines.at(-1)).toMatch(/^not compared: weights/);
    // Its network, given by its folder alone, has the mIoU of the result.
    const evaluate = [join(compiled(), "cli/lathe.js"), "evaluate", "out/good", "--json"];
    const measured = spawnSync(process.execPath, evaluate, {
      env: { ...process.env, INIT_CWD: folder },
      encoding: "utf8",
    });
    expect(measured.stderr).toBe("");
    const { miou } = JSON.parse(measured.stdout) as { miou: number };
    expect(miou).toBeCloseTo(json("good", "result.json").retrainedMiou as number, 6);
    const file = join(out, "late", "result.json");
    const kept = readFileSync(file, "utf8");
    writeFileSync(file, kept.replace(/"params": \d+/, '"params": 1'));
    const bad = reproduce("out/late");
    writeFileSync(file, kept);
    expect(bad.status).toBe(5);
    expect(bad.stdout).toMatch(/^differs +files [^\n]*\n +result\.json has changed since it was written$/m);
    expect(bad.stdout).toMatch(/^differs +sizes [^\n]*\n +figures\.params is 1, derived \d+$/m);
    expect(bad.stderr).toContain("is not what its spec, events and data give: files, sizes");
    expect(reproduce("out").stderr).toContain("cannot be reproduced: result.json is missing");
  });

  it("is refused where its file contradicts its results", async () => {
    writeFileSync(join(folder, "grid.json"), grid(7));
    const { code, stderr } = await experiment(run);
    expect(code).toBe(2);
    expect(stderr).toMatch(/good has a result of another spec \(training\.epochs was 6, is 7\)/);
  });

  it("is reported from its files, including the failed cell", async () => {
    const { code, stdout, stderr } = await experiment(["report", "out", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { cells, files } = JSON.parse(stdout) as {
      cells: { name: string; state: string; results?: { supernetMiou: number } }[];
      files: string[];
    };
    expect(cells.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "good finished",
      "undecided failed",
      "late finished",
    ]);
    const { supernetMiou } = json("good", "result.json") as { supernetMiou: number };
    expect(cells[0]!.results!.supernetMiou).toBeCloseTo(100 * supernetMiou, 10);
    for (const file of files) expect(existsSync(join(out, "report", file))).toBe(true);
  });
});

it("cells run at once, with their names before their lines", async () => {
  const base = { ...(SearchSpec.toJSON(smallSpec()) as object), training: { epochs: 2, batch_size: 4 } };
  writeFileSync(join(folder, "pair.json"), JSON.stringify({ name: "pair", base, seeds: [1, 2] }));
  const args = ["run", "-f", "pair.json", "--out", "pair"];
  const { code, stdout, stderr } = await experiment([
    ...args,
    "--workers",
    String(Math.min(2, availableParallelism())),
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("2 of 2 cells have a result");
  if (availableParallelism() === 1) return;
  const at = (text: string | RegExp) => stdout.search(text);
  for (const cell of ["s1", "s2"]) {
    expect(at(`cell ${cell} `)).toBeGreaterThanOrEqual(0);
    expect(at(`cell ${cell} `)).toBeLessThan(at(/^s[12]: search succeeded/m));
    expect(stdout).toMatch(new RegExp(`^${cell}: search epoch 2/2`, "m"));
    expect(existsSync(join(folder, "pair", cell, "result.json"))).toBe(true);
  }
  expect(existsSync(join(folder, "pair", "logs", "supernet-2.log"))).toBe(true);
  const refused = await experiment([...args, "--workers", "4096"]);
  expect(refused).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--workers is 4096, must be 1 to") as string,
  });
});
