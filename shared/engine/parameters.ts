import { LatheError } from "../process/errors";
import { elementCount } from "./signature";
import { tf } from "./tf";

export interface ManifestEntry {
  name: string;
  shape: number[];
  /** Of the first element in the flat buffer. */
  offset: number;
}

/** Where each named tensor lies in one flat buffer. */
export interface Manifest {
  entries: ManifestEntry[];
  /** Elements of the buffer. */
  size: number;
}

/** Lays tensors out one after the other; throws INVALID_ARGUMENT on a name that comes twice. */
export function manifest(tensors: readonly { name: string; shape: readonly number[] }[]): Manifest {
  const names = new Set<string>();
  let size = 0;
  const entries = tensors.map(({ name, shape }) => {
    if (names.has(name)) throw new LatheError("INVALID_ARGUMENT", `parameter "${name}" is declared twice`);
    names.add(name);
    const offset = size;
    size += elementCount(shape);
    return { name, shape: [...shape], offset };
  });
  return { entries, size };
}

/** The named tensors of a flat vector (in a traced step: one Split and a Reshape each). */
export function unpack(flat: tf.Tensor1D, { entries, size }: Manifest): Record<string, tf.Tensor> {
  if (flat.size !== size)
    throw new LatheError("INVALID_ARGUMENT", `a flat vector has ${flat.size} elements, its manifest ${size}`);
  if (entries.length === 0) return {};
  const parts = tf.split(
    flat,
    entries.map(({ shape }) => elementCount(shape)),
  );
  return Object.fromEntries(entries.map(({ name, shape }, i) => [name, tf.reshape(parts[i] as tf.Tensor, shape)]));
}

/** The flat vector of named tensors; throws INVALID_ARGUMENT where one is missing or has another shape. */
export function pack(tensors: Readonly<Record<string, tf.Tensor>>, { entries }: Manifest): tf.Tensor1D {
  if (entries.length === 0) return tf.tensor1d([], "float32");
  const parts = entries.map(({ name, shape }) => {
    const tensor = tensors[name];
    if (tensor?.shape.join() !== shape.join()) {
      throw new LatheError(
        "INVALID_ARGUMENT",
        `parameter "${name}" has shape [${tensor?.shape.join(",") ?? "missing"}], must be [${shape.join(",")}]`,
      );
    }
    return tf.reshape(tensor, [-1]);
  });
  return tf.concat(parts) as tf.Tensor1D;
}

/** The part of a buffer that holds one tensor, sharing its memory. */
export function view(buffer: Float32Array, layout: Manifest, name: string): Float32Array {
  const { offset, shape } = entryOf(layout, name);
  return buffer.subarray(offset, offset + elementCount(shape));
}

/** Where an entry of a smaller network comes from: a source entry, and per axis the indices to take (null or absent: all). */
export type GatherPlan = (entry: ManifestEntry) => { from: string; indices?: (readonly number[] | null)[] };

/** A buffer laid out by `to` with what `plan` picks of a buffer laid out by `from`; throws INTERNAL where the picked shape is not the entry's. */
export function gather(buffer: Float32Array, from: Manifest, to: Manifest, plan: GatherPlan): Float32Array {
  const result = new Float32Array(to.size);
  for (const entry of to.entries) {
    const { from: name, indices = [] } = plan(entry);
    const source = entryOf(from, name);
    const picks = source.shape.map((size, axis) => indices[axis] ?? Array.from({ length: size }, (_, i) => i));
    const outside = picks.some((list, axis) =>
      list.some((i) => !Number.isInteger(i) || i < 0 || i >= (source.shape[axis] as number)),
    );
    if (outside || picks.length < indices.length || picks.map((list) => list.length).join() !== entry.shape.join()) {
      throw new LatheError(
        "INTERNAL",
        `gather of "${entry.name}" [${entry.shape.join(",")}] from "${name}" [${source.shape.join(",")}] picks [${picks.map((list) => list.length).join(",")}]${outside ? " with an index outside" : ""}`,
      );
    }
    copyPicked(view(buffer, from, name), source.shape, picks, view(result, to, entry.name));
  }
  return result;
}

/** Row-major copy of the picked indices of each axis. */
function copyPicked(
  source: Float32Array,
  shape: readonly number[],
  picks: readonly (readonly number[])[],
  target: Float32Array,
): void {
  let written = 0;
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const copy = (axis: number, base: number): void => {
    const list = picks[axis];
    if (list === undefined) {
      target[written++] = source[base] as number;
      return;
    }
    for (const i of list) copy(axis + 1, base + i * (strides[axis] as number));
  };
  copy(0, 0);
}

function entryOf(layout: Manifest, name: string): ManifestEntry {
  const entry = layout.entries.find((candidate) => candidate.name === name);
  if (entry === undefined)
    throw new LatheError("NOT_FOUND", `parameter "${name}" is not in the manifest of ${layout.entries.length} entries`);
  return entry;
}
