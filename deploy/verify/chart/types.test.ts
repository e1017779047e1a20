import { cases } from "./helm";
import { golden } from "./golden";
import type { KubeObject } from "./objects";
import { typeFaults } from "./types";

const objects = cases().map((name) => ({ name, objects: golden(name) ?? [] }));

it("every object of the snapshots matches its Kubernetes type", () => {
  expect(typeFaults(objects)).toMatchObject({ status: "ok" });
});

it("unknown, wrongly typed and missing fields are found, by object", () => {
  const [min] = objects.filter(({ name }) => name === "min");
  const deployment = min?.objects.find(({ kind }) => kind === "Deployment") as KubeObject;
  const spec = deployment.spec!;
  const { selector: _selector, ...unselective } = spec;
  const broken = [
    { ...deployment, spec: { ...spec, replicaz: 1 } },
    { ...deployment, spec: { ...spec, replicas: "1" } },
    { ...deployment, spec: unselective },
  ] as unknown as KubeObject[];
  const outcome = typeFaults([{ name: "broken", objects: broken }]);
  const named = `broken: Deployment ${deployment.metadata.name}`;
  expect(outcome.status).toBe("failed");
  const faults = outcome.detail.trim().split("\n");
  expect(faults).toHaveLength(3);
  for (const [index, part] of ["replicaz", "string", "selector"].entries()) {
    expect(faults[index]).toContain(named);
    expect(faults[index]).toContain(part);
  }
});
