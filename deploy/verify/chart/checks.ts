import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { judged, leftOut, ok, type Check, type Outcome } from "../../../shared/process/checks";
import { helm, run, validators, type Tool } from "../tools";
import { differences, golden, writeGolden } from "./golden";
import { KUBERNETES, cases, chart, lint, template, valuesFile, valuesOf } from "./helm";
import { parseObjects, writeObjects, type Rendering } from "./objects";
import { BAD_VALUES } from "./refused";
import { RULES } from "./rules/index";
import { typeFaults } from "./types";

interface ChartOptions {
  /** Builds missing tools with Go. */
  full: boolean;
  /** Writes the snapshots instead of comparing with them. */
  update: boolean;
}

const [, NEWER] = KUBERNETES;

/** The checks of the chart. Without helm, they check the snapshots instead of fresh renderings. */
export function chartChecks({ full, update }: ChartOptions): Check[] {
  let found: Tool | undefined;
  const tool = () => (found ??= helm(full));
  const renderings: Rendering[] = [];
  const rendering = cases().map((name): Check => ({
    name: `chart with ci/${name}.yaml`,
    run: () => {
      const { outcome, rendered } = render(name, tool(), update);
      if (rendered) renderings.push(rendered);
      return outcome;
    },
  }));
  const rules = RULES.map(({ name, faults }): Check => ({
    name: `chart: ${name}`,
    run: () => {
      const found = renderings.flatMap((one) => faults(one).map((fault) => `${one.name}: ${fault}`));
      return judged(found, `${renderings.length} renderings`);
    },
  }));
  return [
    ...rendering,
    { name: "chart: invalid values are rejected by name", run: () => refused(tool()) },
    { name: "chart: the package contains the dashboards and alerts of deploy/", run: () => packed(tool()) },
    ...rules,
    { name: "chart: objects match their Kubernetes types", run: () => typeFaults(renderings) },
    { name: "chart: objects pass the validation of an API server", run: () => validated(renderings, full) },
  ];
}

function render(name: string, tool: Tool, update: boolean): { outcome: Outcome; rendered?: Rendering } {
  const values = valuesOf(name);
  if ("missing" in tool) {
    const objects = golden(name);
    const outcome = leftOut(
      `helm ${tool.missing}; the following checks use its snapshot of ${objects?.length ?? 0} objects`,
    );
    return { outcome, ...(objects && { rendered: { name, values, objects } }) };
  }
  const faults = KUBERNETES.flatMap((kubernetes) => lint(tool.path, name, kubernetes));
  const texts = KUBERNETES.map((kubernetes) => template(tool.path, valuesFile(name), kubernetes));
  for (const [at, text] of texts.entries())
    if ("fault" in text) faults.push(`template, Kubernetes ${KUBERNETES[at]}: ${text.fault}`);
  const newest = texts.at(-1);
  if (!newest || "fault" in newest) return { outcome: judged(faults, "") };
  const objects = parseObjects(newest.text);
  if (update) writeGolden(name, objects);
  const versions = KUBERNETES.join(" and ");
  const detail = `${objects.length} objects, lint and template for Kubernetes ${versions}, equal to the snapshot`;
  const outcome = judged([...faults, ...differences(name, objects)], detail);
  return { outcome, rendered: { name, values, objects } };
}

function refused(tool: Tool): Outcome {
  if ("missing" in tool) return leftOut(`helm ${tool.missing}`);
  const folder = mkdtempSync(join(tmpdir(), "lathe-values-"));
  const render = (values: object, apis?: string[]) => {
    const path = join(folder, "values.yaml");
    writeFileSync(path, stringify(values));
    return template(tool.path, path, NEWER, apis);
  };
  try {
    const faults = BAD_VALUES.flatMap(({ values, names }) => {
      const result = render(values);
      const shown = JSON.stringify(values);
      if ("text" in result) return [`${shown} is taken`];
      return result.fault.includes(names) ? [] : [`${shown} is rejected without naming ${names}: ${result.fault}`];
    });
    const keda = render({ supernet: { scaling: { mode: "keda-job" } } }, []);
    if ("text" in keda || !keda.fault.includes("keda.sh/v1alpha1"))
      faults.push("a KEDA mode is accepted although the cluster has no KEDA");
    return judged(faults, `${BAD_VALUES.length + 1} of ${BAD_VALUES.length + 1}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function packed(tool: Tool): Outcome {
  if ("missing" in tool) return leftOut(`helm ${tool.missing}`);
  const folder = mkdtempSync(join(tmpdir(), "lathe-chart-"));
  try {
    const { status, output } = run(tool.path, ["package", chart, "--destination", folder]);
    if (status !== 0) return judged([output], "");
    const { stdout } = run("sh", ["-c", `tar tzvf ${folder}/*.tgz`]);
    const lines = stdout.trim().split("\n");
    const kinds = { boards: /files\/dashboards\/.+\.json$/, rules: /files\/rules\/.+\.yaml$/ };
    const missing = Object.entries(kinds).filter(([, pattern]) => !lines.some((line) => pattern.test(line)));
    const links = lines.filter((line) => line.startsWith("l"));
    return judged(
      [...missing.map(([kind]) => `has no ${kind}`), ...links.map((link) => `holds a link: ${link}`)],
      `${lines.length} files`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function validated(renderings: readonly Rendering[], full: boolean): Outcome {
  const tool = validators(full);
  if ("missing" in tool) return leftOut(`the program of deploy/verify/validators ${tool.missing}`);
  const folder = mkdtempSync(join(tmpdir(), "lathe-objects-"));
  try {
    const files = renderings.map(({ name, objects }) => {
      const path = join(folder, `${name}.yaml`);
      writeFileSync(path, writeObjects(objects));
      return path;
    });
    const { status, output } = run(tool.path, files, { cwd: folder });
    const lines = output.replaceAll(`${folder}/`, "").split("\n");
    return status === 0 ? ok(lines.at(-1) ?? "") : judged(lines, "");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
