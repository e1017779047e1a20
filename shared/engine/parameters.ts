import { LatheError } from "../process/errors";
import { elementCount } from "./signature";
import { tf } from "./tf";

export interface ManifestEntry {
  name: string;
  shape: number[];
  /** Index of the first element in the flat buffer. */
  offset: number;
}

/** The place of each named tensor in one flat buffer. An entry may have further fields about its tensor. */
export interface Manifest<Entry extends ManifestEntry = ManifestEntry> {
  entries: Entry[];
  /** Number of elements of the buffer. */
  size: number;
}

/** Places tensors one after the other; throws INVALID_ARGUMENT on a duplicate name. */
export function manifest<Tensor extends { name: string; shape: number[] }>(
  tensors: readonly Tensor[],
): Manifest<Tensor & ManifestEntry> {
  const names = new Set<string>();
  let size = 0;
  const entries = tensors.map((tensor) => {
    const { name, shape } = tensor;
    if (names.has(name)) throw new LatheError("INVALID_ARGUMENT", `parameter "${name}" is declared twice`);
    names.add(name);
    const offset = size;
    size += elementCount(shape);
    return { ...tensor, offset };
  });
  return { entries, size };
}

/** The named tensors of a flat vector. A traced step gets one Split, and a Reshape per tensor. */
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

/** The flat vector of named tensors; throws INVALID_ARGUMENT if one is missing or has another shape. */
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

/** The part of a buffer that holds one tensor, as a view of the same memory. */
export function view(buffer: Float32Array, layout: Manifest, name: string): Float32Array {
  const entry = layout.entries.find((candidate) => candidate.name === name);
  if (entry === undefined)
    throw new LatheError("NOT_FOUND", `parameter "${name}" is not in the manifest of ${layout.entries.length} entries`);
  return buffer.subarray(entry.offset, entry.offset + elementCount(entry.shape));
}

/** The elements of a row-major tensor at the picked indices of each axis; throws INTERNAL on an index outside. */
export function pick(
  values: Float32Array,
  shape: readonly number[],
  picks: readonly (readonly number[])[],
): Float32Array {
  const outside = picks.some((list, axis) =>
    list.some((i) => !Number.isInteger(i) || i < 0 || i >= (shape[axis] ?? 0)),
  );
  if (outside || picks.length !== shape.length)
    throw new LatheError("INTERNAL", `pick of [${picks.join("; ")}] from a tensor of shape [${shape.join(",")}]`);
  const target = new Float32Array(elementCount(picks.map(({ length }) => length)));
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  let written = 0;
  const copy = (axis: number, base: number): void => {
    const list = picks[axis];
    if (list === undefined) {
      target[written++] = values[base] as number;
      return;
    }
    for (const i of list) copy(axis + 1, base + i * (strides[axis] as number));
  };
  copy(0, 0);
  return target;
}
