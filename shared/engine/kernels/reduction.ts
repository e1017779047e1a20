import { tf } from "../tf";
import type { Value } from "../graph";
import { cast, reduce } from "../emit";
import { fromFront, required, type Rule, type RuleTable } from "./rule";

type Axes = number | number[];

const reduction =
  (op: Parameters<typeof reduce>[1]): Rule =>
  (r, inputs, attrs: { axis?: Axes; reductionIndices?: Axes; keepDims: boolean }) => {
    const x = required(inputs, "x");
    // TF.js names the axes of Max "reductionIndices", those of the others "axis".
    const axes = tf.util.parseAxisParam((attrs.reductionIndices ?? attrs.axis) as Axes, [...x.shape]);
    const operand: Value = x.dtype === "bool" ? cast(r, x, "int32") : x;
    return reduce(r, op, operand, axes, attrs.keepDims);
  };

const argument =
  (op: "ArgMax" | "ArgMin"): Rule =>
  (r, inputs, attrs: { axis: Axes }) => {
    const x = required(inputs, "x");
    const axis = tf.util.parseAxisParam(attrs.axis, [...x.shape])[0] as number;
    return cast(r, r.node(op, [x], x.shape.toSpliced(axis, 1), "int64", { axis, keepdims: 0 }), "int32");
  };

const normalised =
  (op: "Softmax" | "LogSoftmax"): Rule =>
  (r, inputs, attrs: { dim?: number; axis?: number }) => {
    const x = required(inputs, "logits");
    return r.node(op, [x], x.shape, x.dtype, { axis: fromFront(attrs.dim ?? attrs.axis ?? -1, x.shape.length) });
  };

export const reductionRules: RuleTable = {
  Sum: reduction("ReduceSum"),
  Mean: reduction("ReduceMean"),
  Max: reduction("ReduceMax"),
  Min: reduction("ReduceMin"),
  Prod: reduction("ReduceProd"),
  ArgMax: argument("ArgMax"),
  ArgMin: argument("ArgMin"),
  Softmax: normalised("Softmax"),
  LogSoftmax: normalised("LogSoftmax"),
};
