import { view, type Manifest } from "../engine/parameters";
import type { Architecture, Group } from "../proto/lathe/v1/space";
import { depthId, middleId, operationId, outputId } from "../space/groups";
import type { LiveStage } from "./live";

/** Where a group's candidate stands in the flat architecture parameters: entry name and index within it. */
function places(stages: readonly LiveStage[]): Map<string, { entry: string; at: (survivor: number) => number }> {
  const map = new Map<string, { entry: string; at: (survivor: number) => number }>();
  stages.forEach((stage, position) => {
    const s = position + 1;
    map.set(depthId(s), { entry: `${stage.name}/depth`, at: (survivor) => stage.depths.indexOf(survivor) });
    stage.blocks.forEach((block, at) => {
      const b = at + 1;
      const rows = block.operations.map(({ index }) => index);
      map.set(operationId(s, b), { entry: `${block.name}/operation`, at: (survivor) => rows.indexOf(survivor) });
      block.operations.forEach(({ operation }, row) => {
        const column = (survivor: number) => row * stage.widths.length + survivor;
        map.set(outputId(s, b, operation.name), { entry: `${block.name}/output`, at: column });
        map.set(middleId(s, b, operation.name), { entry: `${block.name}/middle`, at: column });
      });
    });
  });
  return map;
}

/** Flat architecture parameters of a supernet from its groups; candidates that have left hold 0. */
export function packAlphas(stages: readonly LiveStage[], manifest: Manifest, architecture: Architecture): Float32Array {
  const buffer = new Float32Array(manifest.size);
  visit(stages, architecture, (group, entry, at) => {
    const values = view(buffer, manifest, entry);
    group.survivors.forEach((survivor, index) => {
      values[at(survivor)] = group.alphas[index] ?? 0;
    });
  });
  return buffer;
}

/** The architecture with the values of flat architecture parameters. */
export function unpackAlphas(
  stages: readonly LiveStage[],
  manifest: Manifest,
  architecture: Architecture,
  buffer: Float32Array,
): Architecture {
  const groups: Group[] = [];
  visit(stages, architecture, (group, entry, at) => {
    const values = view(buffer, manifest, entry);
    groups.push({ ...group, alphas: group.survivors.map((survivor) => values[at(survivor)] ?? 0) });
  });
  return { groups };
}

function visit(
  stages: readonly LiveStage[],
  architecture: Architecture,
  visitor: (group: Group, entry: string, at: (survivor: number) => number) => void,
): void {
  const found = places(stages);
  for (const group of architecture.groups) {
    const place = found.get(group.id);
    if (!place) throw new Error(`group "${group.id}" has no place in the supernet`);
    visitor(group, place.entry, place.at);
  }
}
