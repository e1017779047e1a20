import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const compiler = process.env.CC ?? "cc";
const canCompile = process.platform === "linux" && spawnSync(compiler, ["--version"]).status === 0;

(canCompile ? describe : describe.skip)("the addon of the CUDA provider", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "lathe-cuda-"));
    const compile = (source: string, name: string, ...flags: string[]) =>
      execFileSync(compiler, ["-shared", "-fPIC", ...flags, source, "-o", join(folder, name), "-ldl"]);
    compile(join(__dirname, "..", "scripts", "native", "cuda.c"), "lathe.node", "-Wall", "-Wextra", "-Werror");
    const named = ["-Wl,-soname,libonnxruntime.so.1", "-Wl,-z,relro,-z,now"];
    compile(join(__dirname, "native", "onnxruntime.c"), "onnxruntime.node", ...named);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** What the expression gives in a new process that has loaded the addon. */
  function evaluate(expression: string): string {
    const load = `const load = (name) => require(${JSON.stringify(folder)} + "/" + name + ".node");`;
    const tried = `try { console.log(${expression}) } catch (error) { console.log("threw: " + error.message) }`;
    return execFileSync(process.execPath, ["-e", `${load} const lathe = load("lathe"); ${tried}`], {
      encoding: "utf8",
    }).trim();
  }
  const added = (...options: string[]) =>
    evaluate(
      `[load("onnxruntime")].flatMap((add) => ${JSON.stringify(options)}.map((o) => (lathe.setOptions(o), add()))).join(" | ")`,
    );

  it("gives each session the options of the last call and deterministic sums, and keeps the device", () => {
    expect(added("a=1;b=two", "c=3")).toBe(
      "device 3, deterministic 1, options a=1;b=two | device 3, deterministic 1, options c=3",
    );
  });

  it("refuses an option that the provider does not take, by name", () => {
    expect(added("a=1;stubborn=2")).toBe("fault 1: the CUDA provider does not take stubborn=2, it has ;a=1;");
  });

  it("refuses to work without ONNX Runtime, and options that it cannot keep", () => {
    expect(evaluate('lathe.setOptions("a=1")')).toMatch(/^threw: libonnxruntime\.so\.1 is not loaded/);
    expect(evaluate('(load("onnxruntime"), lathe.setOptions("a".repeat(1024)))')).toMatch(
      /^threw: the options must be/,
    );
  });

  it("names the versions of the libraries that it finds", () => {
    expect(evaluate("JSON.stringify(lathe.libraries())")).toMatch(/^"(CUDA \d+\.\d+)?(, )?(cuDNN \d+\.\d+\.\d+)?"$/);
  });
});
