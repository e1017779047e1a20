import { count } from "../engine/nchwc/emit";
import { convolutions, tiles, type MixturePlan } from "../engine/nchwc/mixture/plan";
import { filledUp, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import type { Manifest } from "../engine/parameters";
import { elementCount } from "../engine/signature";
import { at, atScale, type LiveBlock, type LiveStage } from "./live";

/** Where the values of a blocked vector come from in the plain one, which is the order of checkpoints. */
export interface BlockedLayout {
  entries: { name: string; shape: number[] }[];
  /** Per element of the blocked vector its index in the plain one; -1 where a channel fills a block up. */
  source: Int32Array;
  plainSize: number;
}

/** The place of one tensor in a blocked vector, in the order of its elements. */
interface Part {
  name: string;
  shape: number[];
  source: Int32Array;
}

/** A blocked vector from a plain one. */
export function toBlockedOrder(plain: Float32Array, { source }: BlockedLayout): Float32Array {
  const blocked = new Float32Array(source.length);
  for (let at = 0; at < source.length; at++) {
    const index = source[at] as number;
    if (index >= 0) blocked[at] = plain[index] as number;
  }
  return blocked;
}

/** The plain vector of a blocked one. */
export function toPlainOrder(blocked: Float32Array, { source, plainSize }: BlockedLayout): Float32Array {
  const plain = new Float32Array(plainSize);
  for (let at = 0; at < source.length; at++) {
    const index = source[at] as number;
    if (index >= 0) plain[index] = blocked[at] as number;
  }
  return plain;
}

/** What a supernet's parts are in blocked layout, by name: its search blocks, and its reductions with the stem. */
export interface BlockedPlans {
  mixtures: ReadonlyMap<string, MixturePlan>;
  reductions: ReadonlyMap<string, ReductionPlan>;
}

/**
 * Layout of a supernet's weights or statistics with the tensors of each search block and reduction replaced by blocked ones: weights
 * "<block>/kernels" [tiles, block, block], and per norm one vector over all operations, each filled up to whole blocks.
 */
export function blockedLayout(
  plain: Manifest,
  stages: readonly LiveStage[],
  { mixtures, reductions }: BlockedPlans,
  role: "weights" | "stats",
): BlockedLayout {
  const blocks = new Map(stages.flatMap((stage) => stage.blocks.map((block) => [block.name, block] as const)));
  const offsets = new Map(plain.entries.map((entry) => [entry.name, entry.offset]));
  const offset = (name: string) => {
    const found = offsets.get(name);
    if (found === undefined) throw new Error(`no tensor "${name}" in the plain layout`);
    return found;
  };
  const parts: Part[] = [];
  const done = new Set<string>();
  for (const entry of plain.entries) {
    const name = /^stage\d+\/block\d+(?=\/)/.exec(entry.name)?.[0];
    const block = name === undefined ? undefined : blocks.get(name);
    const [owner = "", tensor = ""] = /^(stem|.*\/reduction)\/(.+)$/.exec(entry.name)?.slice(1) ?? [];
    const reduction = reductions.get(owner);
    if (reduction) {
      if (tensor === "conv") parts.push((owner === "stem" ? stemKernelPart : reductionKernelPart)(entry, reduction));
      else parts.push(vectorPart(entry, filledUp(reduction).output));
      continue;
    }
    if (!block) {
      const source = new Int32Array(elementCount(entry.shape)).map((_, index) => entry.offset + index);
      parts.push({ name: entry.name, shape: entry.shape, source });
      continue;
    }
    if (done.has(block.name)) continue;
    done.add(block.name);
    const plan = mixtures.get(block.name);
    if (!plan) throw new Error(`no plan for ${block.name}`);
    if (role === "weights") parts.push(kernelPart(block, plan, offset));
    for (const layer of ["norm1", "norm2"] as const)
      for (const kind of role === "weights" ? ["gamma", "beta"] : ["mean", "variance"])
        parts.push(normPart(block, plan, layer, kind, offset));
  }
  const source = new Int32Array(parts.reduce((size, part) => size + part.source.length, 0));
  let written = 0;
  for (const part of parts) {
    source.set(part.source, written);
    written += part.source.length;
  }
  return { entries: parts.map(({ name, shape }) => ({ name, shape })), source, plainSize: plain.size };
}

function kernelPart(block: LiveBlock, plan: MixturePlan, offset: (name: string) => number): Part {
  const { block: b } = plan;
  const list = convolutions(plan).map(({ branch, layer }) => {
    const { operation, middleWidth, outputWidth } = at(block.operations, branch);
    const [inputs, outputs] = layer === 1 ? [block.inputs, middleWidth] : [middleWidth, outputWidth];
    return { start: offset(`${block.name}/${operation.name}/conv${layer}`), inputs, outputs };
  });
  const all = tiles(plan);
  const source = new Int32Array(all.length * b * b);
  let written = 0;
  for (const { convolution, outputBlock, inputBlock, tap } of all) {
    const { start, inputs, outputs } = at(list, convolution);
    // A tile is [input][output], a plain kernel [output][input][tap].
    for (let input = inputBlock * b; input < (inputBlock + 1) * b; input++)
      for (let output = outputBlock * b; output < (outputBlock + 1) * b; output++)
        source[written++] = input < inputs && output < outputs ? start + (output * inputs + input) * 3 + tap : -1;
  }
  return { name: `${block.name}/kernels`, shape: [all.length, b, b], source };
}

interface Placed {
  name: string;
  shape: readonly number[];
  offset: number;
}

/** A vector filled up to `size`. */
function vectorPart({ name, shape, offset }: Placed, size: number): Part {
  const own = elementCount(shape);
  return { name, shape: [size], source: new Int32Array(size).map((_, at) => (at < own ? offset + at : -1)) };
}

/** A plain kernel [output][input][row][column] as tiles [input][output] by output block, column, input block, row. */
function reductionKernelPart({ name, offset }: Placed, plan: ReductionPlan): Part {
  const { block: b, inputs, convolution } = plan;
  const { input, added } = filledUp(plan);
  const source = new Int32Array(added * input * 9);
  let written = 0;
  for (let outputs = 0; outputs < added; outputs += b)
    for (let column = 0; column < 3; column++)
      for (let first = 0; first < input; first += b)
        for (let row = 0; row < 3; row++)
          for (let i = first; i < first + b; i++)
            for (let o = outputs; o < outputs + b; o++)
              source[written++] = i < inputs && o < convolution ? offset + (o * inputs + i) * 9 + row * 3 + column : -1;
  return { name, shape: [source.length / (b * b), b, b], source };
}

/** The stem's kernel [output][input][row][column] by output block, input, row, column, output. */
function stemKernelPart({ name, offset }: Placed, plan: ReductionPlan): Part {
  const { block: b, inputs, convolution } = plan;
  const { output } = filledUp(plan);
  const taps = inputs * 9;
  const source = new Int32Array(output * taps).map((_, at) => {
    const o = Math.floor(at / (taps * b)) * b + (at % b);
    return o < convolution ? offset + o * taps + (Math.floor(at / b) % taps) : -1;
  });
  return { name, shape: [source.length / b, b], source };
}

function normPart(
  block: LiveBlock,
  plan: MixturePlan,
  layer: "norm1" | "norm2",
  kind: string,
  offset: (name: string) => number,
): Part {
  const width = (entry: LiveBlock["operations"][number]) => (layer === "norm1" ? entry.middleWidth : entry.outputWidth);
  const source = block.operations.flatMap((entry, index) => {
    const { scale } = entry.operation;
    // In the plain layout the operations of one scale share a vector.
    const siblings = atScale(block, scale);
    const before = siblings.slice(0, siblings.indexOf(entry)).reduce((sum, other) => sum + width(other), 0);
    const start = offset(`${block.name}/s${scale}/${layer}/${kind}`) + before;
    const branch = at(plan.branches, index);
    return count(layer === "norm1" ? branch.middle : branch.output).map((c) => (c < width(entry) ? start + c : -1));
  });
  return { name: `${block.name}/${layer}/${kind}`, shape: [source.length], source: Int32Array.from(source) };
}
