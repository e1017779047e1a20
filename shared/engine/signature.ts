import { LatheError } from "../process/errors";
import type { tf } from "./tf";

export type DType = "float32" | "int32";

interface TensorSpec {
  shape: readonly number[];
  dtype: DType;
}

export type Signature = Readonly<Record<string, TensorSpec>>;

/** A pure function from named tensors to named tensors, written with TF.js ops. */
export type Step = (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>;

export type Arrays = Record<string, Float32Array | Int32Array>;

/** Number of elements of a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

const describeArray = (array: unknown): string =>
  array instanceof Float32Array
    ? `float32 of length ${array.length}`
    : array instanceof Int32Array
      ? `int32 of length ${array.length}`
      : array === undefined
        ? "nothing"
        : Object.prototype.toString.call(array).slice(8, -1);

/**
 * Throws INVALID_ARGUMENT with the name of an input that is missing or differs in type or length from the signature. Further inputs are
 * ignored.
 */
export function checkInputs(arrays: Arrays, signature: Signature): void {
  for (const [name, spec] of Object.entries(signature)) checkArray("input", name, arrays[name], spec);
}

/**
 * Throws INVALID_ARGUMENT with the name of a preallocated array that is not an output, has the wrong size, or shares memory with an
 * input.
 */
export function checkInto(arrays: Arrays, outputs: Signature, inputs: Arrays): void {
  for (const [name, array] of Object.entries(arrays)) {
    const spec = outputs[name];
    if (spec === undefined) {
      throw new LatheError("INVALID_ARGUMENT", `output "${name}" is not one of ${Object.keys(outputs).join(", ")}`);
    }
    checkArray("output", name, array, spec);
    // A step may read an input after it has written an output, so shared memory would give wrong results silently.
    const shared = Object.entries(inputs).find(([, input]) => overlap(array, input))?.[0];
    if (shared !== undefined) {
      throw new LatheError(
        "INVALID_ARGUMENT",
        `output "${name}" shares memory with input "${shared}", must have its own`,
      );
    }
  }
}

function overlap(a: Arrays[string], b: Arrays[string]): boolean {
  if (a.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}

function checkArray(kind: "input" | "output", name: string, array: Arrays[string] | undefined, spec: TensorSpec): void {
  const length = elementCount(spec.shape);
  const typed = spec.dtype === "float32" ? array instanceof Float32Array : array instanceof Int32Array;
  if (typed && array?.length === length) return;
  const want = `${spec.dtype} of length ${length} (shape [${spec.shape.join(",")}])`;
  throw new LatheError("INVALID_ARGUMENT", `${kind} "${name}" is ${describeArray(array)}, must be ${want}`);
}

/** The signature of a step's outputs; throws INVALID_ARGUMENT for one that is neither float32 nor int32. */
export function outputSignature(
  outputs: readonly (readonly [name: string, value: { shape: readonly number[]; dtype: string }])[],
): Signature {
  const entries = outputs.map(([name, { shape, dtype }]): [string, TensorSpec] => {
    if (dtype === "float32" || dtype === "int32") return [name, { shape, dtype }];
    throw new LatheError("INVALID_ARGUMENT", `output "${name}" is ${dtype}, must be float32 or int32`);
  });
  return Object.fromEntries(entries);
}

/** The numbers below `count`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
