import { view, type Manifest } from "../engine/parameters";
import type { Architecture, Genotype, Group, SearchSpace } from "../proto/lathe/v1/space";
import { choicesOf } from "../space/genotype";
import { depthId, middleId, operationId, outputId } from "../space/groups";
import type { LiveStage } from "./live";

/** What pathAlphas needs of a supernet. */
interface Path {
  space: SearchSpace;
  architecture: Architecture;
  stages: readonly LiveStage[];
  alphas: Manifest;
}

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

/** sigmoid(-200) is 0 and sigmoid(200) is 1 in float32: p is one-hot to the last bit, and no gradient reaches what is not chosen. */
const CERTAIN = 200;

/** Flat architecture parameters under which a supernet, whole as it began, computes the network of a genotype alone. */
export function pathAlphas({ space, stages, alphas, architecture }: Path, genotype: Genotype): Float32Array {
  const chosen = choicesOf(space, genotype);
  // A group that the genotype does not reach hangs below a candidate with p = 0.
  const sign = (id: string, survivor: number) => (survivor === (chosen.get(id) ?? 0) ? CERTAIN : -CERTAIN);
  const groups = architecture.groups.map((group) => ({
    ...group,
    alphas: group.survivors.map((survivor) => sign(group.id, survivor)),
  }));
  return packAlphas(stages, alphas, { groups });
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
