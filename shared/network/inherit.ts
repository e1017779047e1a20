import { gather, type Manifest, type ManifestEntry } from "../engine/parameters";
import type { Genotype } from "../proto/lathe/v1/space";
import type { DiscreteNetwork } from "./discrete";
import { atScale } from "./live";
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
  const rows = new Map<string, number[]>();
  to.stages.forEach((stage, s) => {
    const old = at(from.stages, s);
    rows.set(
      `${stage.name}/depth`,
      stage.depths.map((depth) => old.depths.indexOf(depth)),
    );
    stage.blocks.forEach((block, b) => {
      const oldBlock = at(old.blocks, b);
      const all = block.operations.map(({ index }) => oldBlock.operations.findIndex((entry) => entry.index === index));
      for (const kind of ["operation", "output", "middle"]) rows.set(`${block.name}/${kind}`, all);
      for (const scale of [1, 2]) {
        const before = atScale(oldBlock, scale).map(({ index }) => index);
        rows.set(
          `${block.name}/s${scale}`,
          atScale(block, scale).map(({ index }) => before.indexOf(index)),
        );
      }
    });
  });
  return ({ name, shape }) => {
    const key = /^(stage\d+\/(?:depth|block\d+\/(?:operation|output|middle|s\d+)))/.exec(name)?.[1];
    const taken = key === undefined ? undefined : rows.get(key);
    return taken ? { from: name, indices: [taken, ...shape.slice(1).map(() => null)] } : { from: name };
  };
}

/**
 * Weights or statistics of the discrete network of a genotype, inherited from a supernet that still holds its operations: the
 * first channels of each width (method.md section 5). The network's head is the search head.
 */
export function inheritBuffer(
  buffer: Float32Array,
  role: "weights" | "stats",
  from: Supernet,
  to: DiscreteNetwork,
): Float32Array {
  // A block's tensor is one row of its stack: in the target's layout it is a stack of one.
  const entries = to[role].entries.map((entry) =>
    BLOCK.test(entry.name) ? { ...entry, shape: [1, ...entry.shape] } : entry,
  );
  return gather(buffer, from[role], { ...to[role], entries }, inheritPlan(from, to.genotype));
}

const BLOCK = /^stage(\d+)\/block(\d+)\/(.+)$/;

function inheritPlan(from: Supernet, genotype: Genotype): Plan {
  return ({ name, shape }) => {
    const block = BLOCK.exec(name);
    // Every other tensor keeps its place and takes the first channels of each axis.
    if (!block) return { from: name, indices: shape.map(firstOf) };
    const [, s, b, rest] = block;
    const entry = genotype.stages[Number(s) - 1]?.blocks[Number(b) - 1];
    const live = from.stages[Number(s) - 1]?.blocks[Number(b) - 1];
    if (!entry || !live) throw new Error(`${name} is not in the supernet`);
    const row = atScale(live, entry.scale).findIndex(({ operation }) => operation.dilation === entry.dilation);
    if (row < 0)
      throw new Error(`operation d${entry.dilation}s${entry.scale} of ${live.name} is not in the supernet any more`);
    return { from: `${live.name}/s${entry.scale}/${rest}`, indices: [[row], ...shape.slice(1).map(firstOf)] };
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
    const size = entry.shape.reduce((product, extent) => product * extent, 1);
    if (found && found.shape.join() === entry.shape.join())
      to.set(from.subarray(found.offset, found.offset + size), entry.offset);
    else left.push(entry.name);
  }
  return left;
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`index ${index} is outside a list of ${list.length}`);
  return item;
}
