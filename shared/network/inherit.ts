import { gather, view, type Manifest, type ManifestEntry } from "../engine/parameters";
import type { Genotype } from "../proto/lathe/v1/space";
import type { DiscreteNetwork } from "./discrete";
import { at, atScale, type LiveBlock, type LiveOperation } from "./live";
import { scalesOf } from "./mixture";
import type { Supernet } from "./supernet";

/** Indices to take along each axis of the source entry; null takes the axis whole. */
type Plan = (entry: ManifestEntry) => { from: string; indices?: (readonly number[] | null)[] };

/** Flat weights, moments or statistics of a supernet carried over to a shrunk one: the rows of what survives, in order. */
export function shrinkBuffer(
  buffer: Float32Array,
  role: "weights" | "stats" | "alphas",
  from: Supernet,
  to: Supernet,
): Float32Array {
  return gather(buffer, from[role], to[role], shrinkPlan(from, to));
}

function shrinkPlan(from: Supernet, to: Supernet): Plan {
  const picks = new Map<string, number[]>();
  to.stages.forEach((stage, s) => {
    const old = at(from.stages, s);
    const depths = stage.depths.map((depth) => old.depths.indexOf(depth));
    picks.set(`${stage.name}/depth`, depths);
    stage.blocks.forEach((block, b) => {
      const before = at(old.blocks, b);
      const rows = block.operations.map(({ index }) => before.operations.findIndex((entry) => entry.index === index));
      for (const kind of ["operation", "output", "middle"]) picks.set(`${block.name}/${kind}`, rows);
      for (const scale of scalesOf(block))
        for (const layer of ["norm1", "norm2"] as const)
          picks.set(
            `${block.name}/s${scale}/${layer}`,
            atScale(block, scale).flatMap((entry) => normChannels(before, entry, layer, widthAt(entry, layer))),
          );
    });
  });
  return ({ name, shape }) => {
    const key = /^(stage\d+\/(?:depth|block\d+\/(?:operation|output|middle|s\d+\/norm[12])))(?:\/|$)/.exec(name)?.[1];
    const taken = key === undefined ? undefined : picks.get(key);
    // What is not stacked keeps its place and takes the first channels of each axis.
    return { from: name, indices: taken ? [taken, ...shape.slice(1).map(firstOf)] : shape.map(firstOf) };
  };
}

const widthAt = (entry: LiveOperation, layer: "norm1" | "norm2") =>
  layer === "norm1" ? entry.middleWidth : entry.outputWidth;

/** Where the first channels of an operation stand in the norm that it shares with the operations of its scale. */
function normChannels(
  block: LiveBlock,
  { index, operation }: Pick<LiveOperation, "index" | "operation">,
  layer: "norm1" | "norm2",
  count: number,
): number[] {
  let offset = 0;
  for (const entry of atScale(block, operation.scale)) {
    if (entry.index === index) return firstOf(count).map((channel) => offset + channel);
    offset += widthAt(entry, layer);
  }
  throw new Error(`operation ${operation.name} of ${block.name} is not in the supernet any more`);
}

/**
 * Weights or statistics of the discrete network of a genotype, inherited from a supernet that still holds its operations: the
 * first channels of each width (docs/method.md#after-the-search). The network's head is the search head.
 */
export function inheritBuffer(
  buffer: Float32Array,
  role: "weights" | "stats",
  from: Supernet,
  to: DiscreteNetwork,
): Float32Array {
  return gather(buffer, from[role], to[role], inheritPlan(from, to.genotype));
}

function inheritPlan(from: Supernet, genotype: Genotype): Plan {
  return ({ name, shape }) => {
    const [, s, b, layer, rest] = /^stage(\d+)\/block(\d+)\/((?:conv|norm)[12])(\/.+)?$/.exec(name) ?? [];
    // Every other tensor keeps its place and takes the first channels of each axis.
    if (layer === undefined) return { from: name, indices: shape.map(firstOf) };
    const { dilation, scale } = at(at(genotype.stages, Number(s) - 1).blocks, Number(b) - 1);
    const live = from.stages[Number(s) - 1]?.blocks[Number(b) - 1];
    if (!live) throw new Error(`${name} is not in the supernet any more`);
    const entry = live.operations.find(({ operation }) => operation.dilation === dilation && operation.scale === scale);
    if (!entry) throw new Error(`operation d${dilation}s${scale} of ${live.name} is not in the supernet any more`);
    if (layer === "conv1" || layer === "conv2")
      return { from: `${live.name}/${entry.operation.name}/${layer}`, indices: shape.map(firstOf) };
    const channels = normChannels(live, entry, layer as "norm1" | "norm2", shape[0] ?? 0);
    return { from: `${live.name}/s${scale}/${layer}${rest ?? ""}`, indices: [channels] };
  };
}

function firstOf(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Copies every tensor that two manifests share by name and shape; what is returned are the names left alone. */
export function copyShared(from: Float32Array, source: Manifest, to: Float32Array, target: Manifest): string[] {
  const sources = new Map(source.entries.map((entry) => [entry.name, entry]));
  const left: string[] = [];
  for (const entry of target.entries) {
    const found = sources.get(entry.name);
    if (found && found.shape.join() === entry.shape.join()) to.set(view(from, source, entry.name), entry.offset);
    else left.push(entry.name);
  }
  return left;
}
