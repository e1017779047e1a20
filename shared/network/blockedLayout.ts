import { convolutions, depthwises, squares, tapsOf, type MixturePlan } from "../engine/nchwc/mixture/plan";
import { filledUp, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import { manifest, type Manifest, type ManifestEntry } from "../engine/parameters";
import { elementCount, upTo } from "../engine/signature";
import { at, type LiveBlock } from "../space/live";
import type { BlockedPlans, PlannedBlock } from "./blockedPlans";
import { finder, type Role, type TensorTable } from "./declaration";

/** Order of a blocked vector relative to the plain one. Checkpoints are in plain order. */
interface BlockedLayout {
  entries: { name: string; shape: number[] }[];
  /** Index in the plain vector of each element of the blocked one; -1 for elements that pad a tile. */
  source: Int32Array;
  plainSize: number;
}

type Finder = ReturnType<typeof finder>;

/** One tensor of a blocked vector, with the plain indices of its elements. */
interface Part {
  name: string;
  shape: number[];
  source: Int32Array;
}

/** Converts a vector from plain to blocked order. Padding is 0. */
export function toBlockedOrder(plain: Float32Array, { source }: BlockedLayout): Float32Array {
  const blocked = new Float32Array(source.length);
  for (let at = 0; at < source.length; at++) {
    const index = source[at] as number;
    if (index >= 0) blocked[at] = plain[index] as number;
  }
  return blocked;
}

/** Converts a vector from blocked to plain order. Padding is dropped. */
export function toPlainOrder(blocked: Float32Array, { source, plainSize }: BlockedLayout): Float32Array {
  const plain = new Float32Array(plainSize);
  for (let at = 0; at < source.length; at++) {
    const index = source[at] as number;
    if (index >= 0) plain[index] = blocked[at] as number;
  }
  return plain;
}

/** The flat vectors of a network in blocked order, and how that follows from the plain order. */
export interface BlockedTables {
  weights: Manifest;
  stats: Manifest;
  layout: Record<"weights" | "stats", BlockedLayout>;
}

export function blockedTables(plain: Record<"weights" | "stats", TensorTable>, plans: BlockedPlans): BlockedTables {
  const layout = { weights: blockedLayout(plain.weights, plans), stats: blockedLayout(plain.stats, plans) };
  return { weights: manifest(layout.weights.entries), stats: manifest(layout.stats.entries), layout };
}

/**
 * Layout of a supernet's weights or statistics in which the tensors of search blocks and reductions are replaced by blocked ones. A search
 * block has its filters as "<block>/filters" [squares, tile, tile], those of depthwise convolutions as "<block>/depthwise", and per norm one
 * vector in which each operation is padded to whole tiles.
 */
export function blockedLayout(plain: TensorTable, { mixtures, reductions }: BlockedPlans): BlockedLayout {
  const parts: Part[] = [];
  let before = "";
  for (const tensor of plain.entries) {
    const mixture = mixtures.get(tensor.part);
    const reduction = reductions.get(tensor.part);
    if (mixture) {
      // The tensors of a part are consecutive, so all tensors of a block are replaced at its first one.
      if (tensor.part !== before) parts.push(...mixtureParts(plain, mixture));
    } else if (!reduction) parts.push(vectorPart(tensor, tensor.shape));
    else if (tensor.kind !== "filter") parts.push(vectorPart(tensor, [filledUp(reduction).output]));
    else parts.push((tensor.part === "stem" ? stemFilterPart : reductionFilterPart)(tensor, reduction));
    before = tensor.part;
  }
  const source = new Int32Array(parts.reduce((size, part) => size + part.source.length, 0));
  let written = 0;
  for (const part of parts) {
    source.set(part.source, written);
    written += part.source.length;
  }
  return { entries: parts.map(({ name, shape }) => ({ name, shape })), source, plainSize: plain.size };
}

/** The filters of a search block, if the table is of weights, then its norms. */
function mixtureParts(plain: TensorTable, { block, plan }: PlannedBlock): Part[] {
  const find = finder({ ...plain, entries: plain.entries.filter(({ part }) => part === block.name) });
  const isWeights = plain.entries.some(({ kind }) => kind === "filter");
  const kinds = isWeights ? (["gamma", "beta"] as const) : (["mean", "variance"] as const);
  const norms = (["norm1", "norm2"] as const).flatMap((layer) =>
    kinds.map((kind) => normPart(block, plan, layer, kind, find)),
  );
  return isWeights ? [filterPart(block, plan, find), ...depthwiseParts(plain, block, plan), ...norms] : norms;
}

/** The filters of a block's depthwise convolutions, if it has any: each plain [channel][tap], blocked [channel tile][tap][channel]. */
function depthwiseParts(plain: TensorTable, { name: part, operations }: LiveBlock, plan: MixturePlan): Part[] {
  const { tile } = plan;
  const source = depthwises(plan).flatMap(({ branch, layer, kernel, channels }) => {
    const own = `${at(operations, branch).operation.name}/depthwise${layer}`;
    const tensor = plain.entries.find((entry) => entry.part === part && entry.layer === own);
    if (!tensor) throw new Error(`${part} has no ${own}`);
    const [count, taps] = [at(tensor.shape, 0), tapsOf(kernel)];
    return upTo(channels * taps).map((place) => {
      const channel = Math.floor(place / (taps * tile)) * tile + (place % tile);
      return channel < count ? tensor.offset + channel * taps + (Math.floor(place / tile) % taps) : -1;
    });
  });
  return source.length > 0
    ? [{ name: `${part}/depthwise`, shape: [source.length], source: Int32Array.from(source) }]
    : [];
}

function filterPart({ name: part, operations }: LiveBlock, plan: MixturePlan, find: Finder): Part {
  const { tile } = plan;
  const list = convolutions(plan).map(({ branch, layer, kernel }) => {
    const { middle, output } = at(operations, branch);
    const { tensor } = find({ part, layer: `conv${layer}`, kind: "filter" }, (layer === 1 ? middle : output).id);
    return { start: tensor.offset, outputs: at(tensor.shape, 0), inputs: at(tensor.shape, 1), taps: tapsOf(kernel) };
  });
  const all = squares(plan);
  const source = new Int32Array(all.length * tile * tile);
  let written = 0;
  for (const { convolution, outputTile, inputTile, tap } of all) {
    const { start, inputs, outputs, taps } = at(list, convolution);
    // A square is [input][output], a plain filter [output][input][tap].
    for (let input = inputTile * tile; input < (inputTile + 1) * tile; input++)
      for (let output = outputTile * tile; output < (outputTile + 1) * tile; output++)
        source[written++] = input < inputs && output < outputs ? start + (output * inputs + input) * taps + tap : -1;
  }
  return { name: `${part}/filters`, shape: [all.length, tile, tile], source };
}

function normPart(
  { name: part, operations }: LiveBlock,
  { branches }: MixturePlan,
  layer: "norm1" | "norm2",
  kind: Role["kind"],
  find: Finder,
): Part {
  const source = operations.flatMap(({ middle, output }, index) => {
    const branch = at(branches, index);
    const [of, size] = layer === "norm1" ? [middle.id, branch.middle] : [output.id, branch.output];
    const { tensor, row, elements } = find({ part, layer, kind }, of);
    return upTo(size).map((c) => (c < elements.length ? tensor.offset + row + c : -1));
  });
  return { name: `${part}/${layer}/${kind}`, shape: [source.length], source: Int32Array.from(source) };
}

/** A tensor's elements in plain order, padded to a shape. */
function vectorPart({ name, shape, offset }: ManifestEntry, target: number[]): Part {
  const own = elementCount(shape);
  const source = new Int32Array(elementCount(target)).map((_, at) => (at < own ? offset + at : -1));
  return { name, shape: target, source };
}

/** A reduction's filter: plain [output][input][row][column]; blocked [output tile][column][input tile][row][input][output]. */
function reductionFilterPart({ name, offset }: ManifestEntry, plan: ReductionPlan): Part {
  const { tile, inputs, convolution } = plan;
  const { input, added } = filledUp(plan);
  const source = new Int32Array(added * input * 9);
  let written = 0;
  for (let outputs = 0; outputs < added; outputs += tile)
    for (let column = 0; column < 3; column++)
      for (let first = 0; first < input; first += tile)
        for (let row = 0; row < 3; row++)
          for (let i = first; i < first + tile; i++)
            for (let o = outputs; o < outputs + tile; o++)
              source[written++] = i < inputs && o < convolution ? offset + (o * inputs + i) * 9 + row * 3 + column : -1;
  return { name, shape: [source.length / (tile * tile), tile, tile], source };
}

/** The stem's filter: plain [output][input][row][column]; blocked [output tile][input][row][column][output]. */
function stemFilterPart({ name, offset }: ManifestEntry, plan: ReductionPlan): Part {
  const { tile, inputs, convolution } = plan;
  const { output } = filledUp(plan);
  const taps = inputs * 9;
  const source = new Int32Array(output * taps).map((_, at) => {
    const o = Math.floor(at / (taps * tile)) * tile + (at % tile);
    return o < convolution ? offset + o * taps + (Math.floor(at / tile) % taps) : -1;
  });
  return { name, shape: [source.length / tile, tile], source };
}
