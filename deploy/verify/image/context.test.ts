import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { packageRoot } from "../../../shared/process/root";
import { buildTarget } from "./build";
import { parseDockerfile } from "./dockerfile";

const repository = packageRoot();
const dockerfile = readFileSync(join(repository, "deploy", "Dockerfile"), "utf8");
const copyOnly = dockerfile.replace(/^RUN npm .*\n/gm, "");

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "lathe-context-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** The files that the Dockerfile copies for its stage `build`, beside a buf that writes its calls to buf.log. */
function context(text: string): string {
  const { root, workdir } = buildTarget(parseDockerfile(text), "build", repository, folder, () => undefined);
  const at = join(root, workdir);
  const bin = join(at, "node_modules", ".bin");
  const real = join(repository, "node_modules", ".bin");
  mkdirSync(bin, { recursive: true });
  const program = (name: string, line: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  program("buf", `echo "$1 begins" >> buf.log; "${real}/buf" "$@"; status=$?; echo "$1 ends" >> buf.log; exit $status`);
  program("protoc-gen-ts_proto", `exec "${real}/protoc-gen-ts_proto"`);
  return at;
}

async function generate(at: string): Promise<string> {
  const child = spawn(process.execPath, ["scripts/build.mjs", "generate"], { cwd: at });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += String(text)));
  const [code] = (await once(child, "close")) as [number | null];
  return `exit ${code}${output}`;
}

const files = (at: string): string[] =>
  readdirSync(at, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** What `npm run build` would miss there: the contract's generation as it is, and every relative import of what tsc is given. */
async function faults(at: string): Promise<string[]> {
  const generated = await generate(at);
  if (generated !== "exit 0") return [generated];
  const found: string[] = [];
  const config = ts.getParsedCommandLineOfConfigFile(
    join(at, "tsconfig.build.json"),
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: ({ code }) => found.push(`tsconfig.build.json: TS${code}`) },
  );
  const given = config?.fileNames ?? [];
  for (const { code } of config?.errors ?? []) found.push(`tsconfig.build.json: TS${code}`);
  for (const file of given)
    for (const { fileName } of ts.preProcessFile(readFileSync(file, "utf8")).importedFiles)
      if (fileName.startsWith(".") && !existsSync(join(dirname(file), `${fileName}.ts`)))
        found.push(`${relative(at, file)} imports ${fileName}`);
  for (const main of ["cli/lathe.ts", "services/search/main.ts", "bench/bench.ts"])
    if (!given.includes(join(at, main))) found.push(`${main} is missing`);
  return found;
}

describe("the files that the Dockerfile copies", () => {
  it("are all that the build reads", async () => expect(await faults(context(copyOnly))).toEqual([]));

  it.each([
    "proto",
    "shared",
    "services",
    "cli",
    "bench",
    "scripts",
    "buf.yaml",
    "tsconfig.json",
    "tsconfig.build.json",
  ])("are not, without %s", async (name) => {
    const without = copyOnly.replaceAll(/^COPY (.*) (\S+)$/gm, (line, from: string, to: string) => {
      const left = from.split(" ").filter((word) => word !== name);
      return left.length === 0 ? "" : `COPY ${left.join(" ")} ${to}`;
    });
    expect(without).not.toBe(copyOnly);
    expect(await faults(context(without))).not.toEqual([]);
  });
});

describe("npm run generate", () => {
  it("twice side by side makes the code once", async () => {
    const at = context(copyOnly);
    expect(await Promise.all([generate(at), generate(at), generate(at)])).toEqual(["exit 0", "exit 0", "exit 0"]);
    expect(readFileSync(join(at, "buf.log"), "utf8")).toBe(
      "generate begins\ngenerate ends\nbuild begins\nbuild ends\n",
    );
    const made = (root: string) =>
      files(join(root, "shared", "proto"))
        .map((file) => relative(root, file))
        .sort();
    expect(made(at)).toEqual(made(repository));
  });
});
