import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, statSync, type Dirent } from "node:fs";
import { basename, join, resolve } from "node:path";
import { expand, pairs, stagesOf, type Dockerfile, type Instruction } from "./dockerfile";

export interface Build {
  /** The root of the image, as a folder. */
  root: string;
  env: Record<string, string>;
  workdir: string;
}

/**
 * Runs the steps of a target without an image engine. Each stage has a folder as its root and uses the programs of this machine instead of
 * the base image's. COPY, RUN, WORKDIR, ENV and ARG are carried out; other instructions only describe the image and are skipped.
 */
export function buildTarget(file: Dockerfile, target: string, context: string, folder: string): Build {
  const done = new Map<string, Build>();
  for (const stage of stagesOf(file, target)) {
    const root = join(folder, stage.name);
    mkdirSync(root, { recursive: true });
    const base = done.get(stage.base);
    if (base) cpSync(base.root, root, { recursive: true, verbatimSymlinks: true });
    const build: Build = { root, env: { ...base?.env }, workdir: base?.workdir ?? "/" };
    for (const instruction of stage.instructions) step(instruction, build, file, context, done);
    done.set(stage.name, build);
  }
  const last = done.get(target);
  if (!last) throw new Error(`there is no stage ${target}`);
  return last;
}

function step(
  { name, flags, rest, line }: Instruction,
  build: Build,
  file: Dockerfile,
  context: string,
  done: ReadonlyMap<string, Build>,
): void {
  const inImage = (path: string) => join(build.root, resolve(build.workdir, path));
  const text = expand(rest, { ...file.args, ...build.env });
  if (name === "WORKDIR") {
    build.workdir = resolve(build.workdir, text);
    mkdirSync(inImage("."), { recursive: true });
  } else if (name === "ENV") Object.assign(build.env, pairs(text));
  else if (name === "ARG")
    for (const [key, value] of Object.entries(pairs(text))) build.env[key] = file.args[key] ?? value;
  else if (name === "COPY") {
    const words = text.split(/\s+/);
    const to = words.pop() ?? "";
    const origin = flags.from === undefined ? context : done.get(flags.from)?.root;
    if (origin === undefined) throw new Error(`line ${line}: stage ${flags.from} has not been built`);
    const intoFolder = to.endsWith("/") || words.length > 1;
    for (const word of words) {
      const source = join(origin, word);
      if (!existsSync(source)) throw new Error(`line ${line}: ${word} does not exist`);
      // COPY copies the content of a folder, and a file under its own name into a folder.
      const isFolder = statSync(source).isDirectory();
      cpSync(source, isFolder || !intoFolder ? inImage(to) : inImage(join(to, basename(word))), {
        recursive: true,
        verbatimSymlinks: true,
        filter: flags.from === undefined ? notIgnored : undefined,
      });
    }
  } else if (name === "RUN") {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...build.env };
    const { status, stdout, stderr } = spawnSync("sh", ["-ec", rest], {
      cwd: inImage("."),
      env,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    if (status !== 0)
      throw new Error(`line ${line}: ${rest} ended with ${status}: ${`${stdout}${stderr}`.trim().slice(-2000)}`);
  }
}

/** Leaves out tests and generated code, as Dockerfile.dockerignore does. */
const notIgnored = (path: string) => !/\.test\.ts$|\/shared\/proto(\/|$)|\/node_modules(\/|$)/.test(path);

interface Size {
  folder: string;
  files: number;
  bytes: number;
}

/** Number of files and bytes per entry of a folder, the largest first. A link counts as a file of 0 bytes. */
export function sizes(root: string): Size[] {
  const measured = (entry: Dirent): Size => {
    const folder = entry.name;
    const path = join(root, folder);
    if (!entry.isDirectory()) return { folder, files: 1, bytes: statSync(path).size };
    const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((each) => !each.isDirectory());
    const bytes = files.map((each) => (each.isFile() ? statSync(join(each.parentPath, each.name)).size : 0));
    return { folder, files: files.length, bytes: bytes.reduce((sum, each) => sum + each, 0) };
  };
  return readdirSync(root, { withFileTypes: true })
    .map(measured)
    .sort((a, b) => b.bytes - a.bytes);
}
