import { LatheError } from "../../process/errors";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";

export type Values = Readonly<Record<string, Value>>;

/** Writes one TF.js kernel in ONNX. attrs are TF.js's attributes; each rule states their types. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Rule = (r: Recorder, inputs: Values, attrs: any) => Value | Value[];

export type RuleTable = Readonly<Record<string, Rule>>;

/** An input of a kernel, by its name in TF.js. */
export function required(inputs: Values, name: string): Value {
  const value = inputs[name];
  if (value === undefined)
    throw new LatheError("INTERNAL", `kernel input "${name}" is missing among ${Object.keys(inputs).join(", ")}`);
  return value;
}

/** The inputs of a kernel with these names. */
export function requiredAll<Name extends string>(inputs: Values, names: readonly Name[]): Record<Name, Value> {
  return Object.fromEntries(names.map((name) => [name, required(inputs, name)])) as Record<Name, Value>;
}

/** The axis counted from the front, for negative axes too. */
export const fromFront = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
