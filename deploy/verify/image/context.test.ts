import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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
let at: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lathe-context-"));
  at = context();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The files that the Dockerfile copies for its stage `build`, beside a buf that writes its calls to buf.log. */
function context(): string {
  const { root, workdir } = buildTarget(parseDockerfile(copyOnly), "build", repository, folder);
  const copied = join(root, workdir);
  const bin = join(copied, "node_modules", ".bin");
  const real = join(repository, "node_modules", ".bin");
  mkdirSync(bin, { recursive: true });
  const program = (name: string, line: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  program("buf", `echo "$1 begins" >> buf.log; "${real}/buf" "$@"; status=$?; echo "$1 ends" >> buf.log; exit $status`);
  program("protoc-gen-ts_proto", `exec "${real}/protoc-gen-ts_proto"`);
  return copied;
}

async function generate(): Promise<string> {
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

/** The files that `npm run build` misses there. Generates the contract's code, then resolves every relative import of tsc's sources. */
async function faults(): Promise<string[]> {
  const generated = await generate();
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
      // An import() has the ending of the file that it will load.
      if (fileName.startsWith(".") && !existsSync(join(dirname(file), `${fileName.replace(/\.js$/, "")}.ts`)))
        found.push(`${relative(at, file)} imports ${fileName}`);
  for (const main of ["cli/lathe.ts", "services/search/main.ts", "bench/bench.ts"])
    if (!given.includes(join(at, main))) found.push(`${main} is missing`);
  return found;
}

describe("npm run generate", () => {
  it("three times side by side generates the code once", async () => {
    expect(await Promise.all([generate(), generate(), generate()])).toEqual(["exit 0", "exit 0", "exit 0"]);
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

describe("the files that the Dockerfile copies", () => {
  it("are all that the build reads", async () => expect(await faults()).toEqual([]));

  const needed = ["proto", "shared", "services", "cli", "bench", "scripts", "buf.yaml", "tsconfig.json"];
  it.each(needed)("are not, without %s", async (name) => {
    renameSync(join(at, name), join(folder, name));
    try {
      expect(await faults()).not.toEqual([]);
    } finally {
      rmSync(join(at, name), { recursive: true, force: true });
      renameSync(join(folder, name), join(at, name));
    }
  });
});
