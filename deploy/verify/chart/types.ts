import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../shared/process/root";
import { judged, leftOut, type Outcome } from "../../../shared/process/checks";
import { run } from "../tools";
import type { KubeObject, Rendering } from "./objects";

const root = packageRoot();
const packages = { core: "kubernetes-models", prometheus: "@kubernetes-models/prometheus-operator" };

/** The module with the type of an object; undefined for KEDA, whose types validators/ checks instead. */
function moduleOf(apiVersion: string): string | undefined {
  if (apiVersion.startsWith("keda.sh/")) return undefined;
  const source = apiVersion.startsWith("monitoring.coreos.com/") ? packages.prometheus : packages.core;
  return `${source}/${apiVersion}`;
}

interface Typed {
  /** "min: Deployment lathe-search". */
  name: string;
  type: string;
  module: string;
  object: KubeObject;
}

/** Compiles each object as a literal of its Kubernetes type, so that unknown, missing and wrongly typed fields are compiler errors. */
export function typeFaults(renderings: readonly Pick<Rendering, "name" | "objects">[]): Outcome {
  const absent = Object.values(packages).find((name) => !existsSync(join(root, "node_modules", name)));
  if (absent !== undefined) return leftOut(`${absent} is not installed: npm ci, with development packages`);
  const all = renderings.flatMap(({ name, objects }) => objects.map((object) => ({ rendering: name, object })));
  const typed = all.flatMap(({ rendering, object }): Typed[] => {
    const { apiVersion, kind, metadata } = object;
    const module = moduleOf(apiVersion);
    return module === undefined
      ? []
      : [{ name: `${rendering}: ${kind} ${metadata.name}`, type: `I${kind}`, module, object }];
  });
  // The program lies below the repository's root, so that the compiler finds the packages.
  const folder = join(root, "node_modules", ".cache", "lathe-verify", "types");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "objects.ts");
  const { text, lineOf } = literals(typed);
  writeFileSync(file, text);
  try {
    const flags = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--ignoreConfig"];
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const { status, output } = run(process.execPath, [tsc, ...flags, file], { cwd: folder });
    const faults = output.split("\n").flatMap((line) => {
      const [, at, what] = /^objects\.ts\((\d+),\d+\): error (.+)$/.exec(line) ?? [];
      return at === undefined ? [] : [`${lineOf(Number(at))}: ${what}`];
    });
    if (status !== 0 && faults.length === 0) faults.push(output);
    const others = all.length - typed.length;
    return judged(faults, `${typed.length} objects${others > 0 ? `, ${others} KEDA objects not checked here` : ""}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A program that assigns each object to its type; `lineOf` maps a line to its object. */
function literals(typed: readonly Typed[]): { text: string; lineOf: (line: number) => string } {
  const modules = new Map(typed.map(({ type, module }) => [`${module} ${type}`, { type, module }]));
  const names = new Map([...modules.keys()].map((key, index) => [key, `T${index}`]));
  const lines = [...modules].map(
    ([key, { type, module }]) => `import type { ${type} as ${names.get(key)} } from "${module}";`,
  );
  const starts: { line: number; name: string }[] = [];
  typed.forEach(({ name, type, module, object }, index) => {
    starts.push({ line: lines.length + 1, name });
    const literal = JSON.stringify(object, null, 2);
    lines.push(...`export const o${index}: ${names.get(`${module} ${type}`)} = ${literal};`.split("\n"));
  });
  const lineOf = (line: number) => starts.findLast((start) => start.line <= line)?.name ?? "imports";
  return { text: `${lines.join("\n")}\n`, lineOf };
}
