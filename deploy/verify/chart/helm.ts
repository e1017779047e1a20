import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../shared/process/root";
import { run } from "../tools";

/** The Kubernetes versions to render for: the oldest that Chart.yaml allows, and a newer one. */
export const KUBERNETES = ["1.27.0", "1.34.0"] as const;

/** API groups that operators add to a cluster. */
const APIS = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1"];

export const chart = join(packageRoot(), "helm", "lathe");
export const valuesFile = (name: string) => join(chart, "ci", `${name}.yaml`);

/** The names of the value files in ci/. */
export const cases = (): string[] =>
  readdirSync(join(chart, "ci"))
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();

export const valuesOf = (name: string): string => readFileSync(valuesFile(name), "utf8");

/** helm's error text, without its notice about followed symbolic links. */
const fault = (output: string) =>
  output
    .split("\n")
    .filter((line) => !line.includes("found symbolic link"))
    .join("\n")
    .trim();

/** The faults that `helm lint --strict` finds. */
export function lint(helm: string, name: string, kubernetes: string): string[] {
  const args = ["lint", "--strict", chart, "--kube-version", kubernetes, "-f", valuesFile(name)];
  const { status, output } = run(helm, args);
  return status === 0 ? [] : [`lint, Kubernetes ${kubernetes}: ${fault(output)}`];
}

type Rendered = { text: string } | { fault: string };

/** The chart rendered with the values of a file, or helm's error. */
export function template(helm: string, values: string, kubernetes: string, apis = APIS): Rendered {
  const versions = apis.flatMap((api) => ["--api-versions", api]);
  const where = ["--namespace", "searches", "--kube-version", kubernetes];
  const { status, stdout, output } = run(helm, ["template", "lathe", chart, ...where, ...versions, "-f", values]);
  return status === 0 ? { text: stdout } : { fault: fault(output) };
}
