import { differences, golden } from "./golden";
import { titleOf } from "./objects";

it("differences name each changed object with its first differing line, and new and missing objects", () => {
  const objects = structuredClone(golden("min")!);
  expect(differences("min", objects)).toEqual([]);
  const deployment = objects.find((object) => titleOf(object) === "Deployment/lathe-search")!;
  deployment.spec!.replicas = 2;
  const account = objects.findIndex(({ kind }) => kind === "ServiceAccount");
  objects.splice(account, 1);
  objects.push({ apiVersion: "v1", kind: "Secret", metadata: { name: "new" } });
  expect(differences("min", objects)).toEqual([
    'min: Deployment/lathe-search: "replicas: 1" is now "replicas: 2"',
    "min: ServiceAccount/lathe is missing",
    "min: Secret/new is new",
  ]);
  expect(differences("nothing", objects)).toEqual(["nothing: has no snapshot; --update writes it"]);
});
