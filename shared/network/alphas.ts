import { upTo } from "../engine/signature";
import type { Architecture, Genotype, Group, SearchSpace } from "../proto/lathe/v1/space";
import { choicesOf } from "../space/genotype";
import type { LiveBlock, LiveHeadWidth, LiveOperation, LiveStage } from "../space/live";
import { axis, finder, type DeclaredTensor, type TensorTable } from "./declaration";

/** The live groups of a supernet. */
export interface Searched {
  stages: readonly LiveStage[];
  /** The searched widths of its head. */
  head: readonly LiveHeadWidth[];
}

/**
 * Declares the architecture parameters of a supernet: per stage [depths], per block [operations] and, for output and middle widths,
 * [operations, widths], whose last axis holds every width of the stage, also removed ones; per searched width of the head [widths].
 */
export function declareAlphas({ stages, head }: Searched): DeclaredTensor[] {
  const tensor = (part: string, layer: string, axes: DeclaredTensor["axes"]): DeclaredTensor => ({
    ...{ part, layer, kind: "alpha", name: `${part}/${layer}`, axes },
  });
  const survivors = ({ id, survivors: elements }: Group) => [{ of: id, elements }];
  const inStages = stages.flatMap((stage) => {
    const widths = (block: LiveBlock, layer: "output" | "middle") => {
      const rows = block.operations.flatMap((entry) => axis(entry[layer].id, 1));
      return tensor(block.name, layer, [rows, axis("width", stage.widths.length)]);
    };
    return [
      tensor(stage.name, "depth", [survivors(stage.depth)]),
      ...stage.blocks.flatMap((block) => [
        tensor(block.name, "operation", [survivors(block.choice)]),
        widths(block, "output"),
        widths(block, "middle"),
      ]),
    ];
  });
  return [...inStages, ...head.map(({ width, group }) => tensor("head", width.field, [survivors(group)]))];
}

/** One value for each searched dimension. */
export type PerDimension = Record<"depth" | "operation" | "outputWidth" | "middleWidth", number>;

/** A decision group. The alpha of its i-th survivor is element `first + columns[i]` of the flat architecture parameters. */
export interface AlphaRow {
  group: Group;
  dimension: keyof PerDimension;
  first: number;
  columns: readonly number[];
}

/** A supernet's live groups, with the table of its flat architecture parameters. */
export interface Parametrised extends Searched {
  alphas: TensorTable;
}

/** The rows of all groups: depths of stages, operations of blocks, output widths of operations, middle widths of operations, widths of the head. */
export function alphaRows({ stages, head, alphas }: Parametrised): AlphaRow[] {
  const find = finder(alphas);
  const row = (part: string, layer: string, dimension: keyof PerDimension, group: Group): AlphaRow => {
    const { tensor, row: index } = find({ part, layer, kind: "alpha" }, group.id);
    const [, width] = tensor.shape;
    // A group's candidates lie along the only axis; those of widths lie along the second axis, with one row per operation.
    const columns = width === undefined ? upTo(group.survivors.length) : group.survivors;
    return { group, dimension, first: tensor.offset + index * (width ?? 0), columns };
  };
  const operations = blocksOf(stages).flatMap(({ block }) => block.operations.map((entry) => ({ block, entry })));
  return [
    ...stages.map(({ name, depth }) => row(name, "depth", "depth", depth)),
    ...blocksOf(stages).map(({ block }) => row(block.name, "operation", "operation", block.choice)),
    ...operations.map(({ block, entry }) => row(block.name, "output", "outputWidth", entry.output)),
    ...operations.map(({ block, entry }) => row(block.name, "middle", "middleWidth", entry.middle)),
    ...head.map(({ width, group }) => row("head", width.field, "outputWidth", group)),
  ];
}

/** A block, and its place among all blocks. */
interface Owner {
  stage: LiveStage;
  /** Index of the stage, from 0. */
  position: number;
  block: LiveBlock;
  /** Index of the block within its stage, from 0. */
  index: number;
}

export function blocksOf(stages: readonly LiveStage[]): Owner[] {
  return stages.flatMap((stage, position) => stage.blocks.map((block, index) => ({ stage, position, block, index })));
}

/** The operations of all blocks. `b` is the index of their block among all blocks. */
export function operationsOf(stages: readonly LiveStage[]): (Owner & { b: number; operation: LiveOperation })[] {
  return blocksOf(stages).flatMap((owner, b) =>
    owner.block.operations.map((operation) => ({ ...owner, b, operation })),
  );
}

/** Flat architecture parameters from the alphas of an architecture's groups; removed candidates get 0. */
export function packAlphas(of: Parametrised, architecture: Architecture): Float32Array {
  const buffer = new Float32Array(of.alphas.size);
  for (const { group, places } of placed(of, architecture))
    places.forEach((place, index) => (buffer[place] = group.alphas[index] ?? 0));
  return buffer;
}

/** An architecture whose alphas are the values of flat architecture parameters. */
export function unpackAlphas(of: Parametrised, architecture: Architecture, buffer: Float32Array): Architecture {
  return {
    groups: placed(of, architecture).map(({ group, places }) => ({
      ...group,
      alphas: places.map((place) => buffer[place] ?? 0),
    })),
  };
}

/** The groups of an architecture, with each survivor's index in the flat architecture parameters. */
function placed(of: Parametrised, { groups }: Architecture) {
  const rows = new Map(alphaRows(of).map((row) => [row.group.id, row]));
  return groups.map((group) => {
    const row = rows.get(group.id);
    if (row?.columns.length !== group.survivors.length)
      throw new Error(`group "${group.id}" with survivors [${group.survivors.join()}] has no place in the supernet`);
    return { group, places: row.columns.map((column) => row.first + column) };
  });
}

/** In float32 sigmoid(-200) is 0 and sigmoid(200) is 1, so p is exactly one-hot and the other candidates get no gradient. */
const CERTAIN = 200;

/** The parts of a supernet that pathAlphas reads. */
interface Path extends Parametrised {
  space: SearchSpace;
  architecture: Architecture;
}

/** Flat architecture parameters with which a whole supernet computes exactly the network of a genotype. */
export function pathAlphas(supernet: Path, genotype: Genotype): Float32Array {
  const { space, architecture } = supernet;
  const chosen = choicesOf(space, genotype);
  // A group that the genotype does not use lies below a candidate with p = 0, so its choice has no effect.
  const sign = (id: string, survivor: number) => (survivor === (chosen.get(id) ?? 0) ? CERTAIN : -CERTAIN);
  const groups = architecture.groups.map((group) => ({
    ...group,
    alphas: group.survivors.map((survivor) => sign(group.id, survivor)),
  }));
  return packAlphas(supernet, { groups });
}
