import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { chart } from "./helm";
import { parseObjects, titleOf, writeObjects, type KubeObject } from "./objects";

const folder = join(chart, "ci", "golden");
const HEADER =
  "# Written by `npm run verify:deploy -- --update`: the objects of the chart with the values of the same name.\n";

/** The text of a snapshot: objects in the order of their names, without the contents of files of deploy/, which have their own tests. */
function snapshot(objects: readonly KubeObject[]): string {
  const sorted = [...objects].sort((a, b) => (titleOf(a) < titleOf(b) ? -1 : 1)).map(withoutFiles);
  return HEADER + writeObjects(sorted);
}

function withoutFiles(object: KubeObject): KubeObject {
  const { kind, metadata, data } = object;
  if (kind === "PrometheusRule") return { ...object, spec: { groups: [] } as object };
  if (kind !== "ConfigMap" || metadata.labels?.grafana_dashboard === undefined) return object;
  return { ...object, data: Object.fromEntries(Object.keys(data ?? {}).map((file) => [file, "{}"])) };
}

/** The objects of a snapshot; undefined if it does not exist. */
export function golden(name: string): KubeObject[] | undefined {
  const path = join(folder, `${name}.yaml`);
  return existsSync(path) ? parseObjects(readFileSync(path, "utf8")) : undefined;
}

export function writeGolden(name: string, objects: readonly KubeObject[]): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.yaml`), snapshot(objects));
}

/** The differences from the snapshot: one line per object that differs, with its first differing line. */
export function differences(name: string, objects: readonly KubeObject[]): string[] {
  const kept = golden(name);
  if (!kept) return [`${name}: has no snapshot; --update writes it`];
  const texts = (of: readonly KubeObject[]) =>
    new Map(of.map((object) => [titleOf(object), stringify(withoutFiles(object), { lineWidth: 0 }).split("\n")]));
  const [before, now] = [texts(kept), texts(objects)];
  return [...new Set([...before.keys(), ...now.keys()])].flatMap((title) => {
    const [old, fresh] = [before.get(title), now.get(title)];
    if (!old) return [`${name}: ${title} is new`];
    if (!fresh) return [`${name}: ${title} is missing`];
    const at = Array.from({ length: Math.max(old.length, fresh.length) }, (_, line) => line).find(
      (line) => old[line] !== fresh[line],
    );
    return at === undefined
      ? []
      : [`${name}: ${title}: "${old[at]?.trim() ?? ""}" is now "${fresh[at]?.trim() ?? ""}"`];
  });
}
