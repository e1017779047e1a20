import { LatheError } from "../../process/errors";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";

export type Values = Readonly<Record<string, Value>>;

/** How one TF.js kernel is written in ONNX; attrs are TF.js's own, their types are stated by each rule. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Rule = (r: Recorder, inputs: Values, attrs: any) => Value | Value[];

export type RuleTable = Readonly<Record<string, Rule>>;

/** An input of a kernel by TF.js's name for it. */
export function required(inputs: Values, name: string): Value {
  const value = inputs[name];
  if (value === undefined)
    throw new LatheError("INTERNAL", `kernel input "${name}" is missing among ${Object.keys(inputs).join(", ")}`);
  return value;
}

/** Axis counted from the front. */
export const fromFront = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
