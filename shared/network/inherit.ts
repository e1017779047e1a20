import { pick, view, type Manifest } from "../engine/parameters";
import { elementCount } from "../engine/signature";
import { at } from "../space/live";
import { finder, type Axis, type TensorTable } from "./declaration";

/**
 * Takes the flat weights, moments, statistics or architecture parameters of a smaller network out of a supernet's. The smaller network is
 * a shrunk supernet, or a genotype's network with the head of the search. Axes keep the elements of their runs
 * (docs/method.md#after-the-search).
 */
export function inheritBuffer<Vector extends "weights" | "stats" | "alphas">(
  buffer: Float32Array,
  vector: Vector,
  from: Record<Vector, TensorTable>,
  to: Record<Vector, TensorTable>,
): Float32Array {
  const find = finder(from[vector]);
  const result = new Float32Array(to[vector].size);
  let written = 0;
  for (const tensor of to[vector].entries) {
    const [rows = [], ...others] = tensor.axes;
    // The runs of the first axis may come from several tensors: operations have filters of their own, but those of one scale share a norm.
    for (const run of rows) {
      const { axes, shape, offset } = find(tensor, run.of).tensor;
      const picks = [[run], ...others].map((axis, index) => positions(at(axes, index), axis));
      const part = pick(buffer.subarray(offset, offset + elementCount(shape)), shape, picks);
      result.set(part, written);
      written += part.length;
    }
  }
  return result;
}

/** Indices of an axis's elements along a larger axis. */
function positions(source: Axis, target: Axis): number[] {
  const places = new Map<string, Map<number, number>>();
  let position = 0;
  for (const { of, elements } of source) places.set(of, new Map(elements.map((element) => [element, position++])));
  return target.flatMap(({ of, elements }) =>
    elements.map((element) => {
      const found = places.get(of)?.get(element);
      if (found === undefined) throw new Error(`element ${element} of ${of} has left the supernet`);
      return found;
    }),
  );
}

/** Copies every tensor that two manifests share by name and shape, and returns the names of the target's other tensors. */
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
