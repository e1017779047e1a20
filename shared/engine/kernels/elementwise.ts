import type { Value } from "../graph";
import { binary, broadcast, cast, expand, step, unary } from "../emit";
import type { Recorder } from "../recorder";
import { required, type Rule, type RuleTable } from "./rule";

const of2 =
  (op: string): Rule =>
  (r, inputs) =>
    binary(r, op, required(inputs, "a"), required(inputs, "b"));

/** A product with ones only broadcasts the other factor. */
const multiply: Rule = (r, inputs) => {
  const [a, b] = [required(inputs, "a"), required(inputs, "b")];
  const shape = broadcast(a.shape, b.shape);
  if (r.isOnes(b)) return expand(r, a, shape);
  return r.isOnes(a) ? expand(r, b, shape) : binary(r, "Mul", a, b);
};

const of1 =
  (op: string): Rule =>
  (r, inputs) =>
    unary(r, op, required(inputs, "x"));

/** 1 for positive inputs, else alpha (-1 in the derivative of Abs). */
const leakyStep: Rule = (r, inputs, { alpha = 0 }: { alpha?: number }) => {
  const above = step(r, required(inputs, "x"));
  if (alpha === 0) return above;
  return binary(r, "Add", binary(r, "Mul", above, r.scalar(1 - alpha)), r.scalar(alpha));
};

export const elementwiseRules: RuleTable = {
  Add: of2("Add"),
  Sub: of2("Sub"),
  Multiply: multiply,
  RealDiv: of2("Div"),
  Maximum: of2("Max"),
  Minimum: of2("Min"),
  Pow: of2("Pow"),
  SquaredDifference: (r, inputs) => {
    const difference = binary(r, "Sub", required(inputs, "a"), required(inputs, "b"));
    return binary(r, "Mul", difference, difference);
  },
  Neg: of1("Neg"),
  Abs: of1("Abs"),
  Exp: of1("Exp"),
  Log: of1("Log"),
  Log1p: (r, inputs) => unary(r, "Log", binary(r, "Add", required(inputs, "x"), r.scalar(1))),
  Sqrt: of1("Sqrt"),
  Rsqrt: (r, inputs) => unary(r, "Reciprocal", unary(r, "Sqrt", required(inputs, "x"))),
  Reciprocal: of1("Reciprocal"),
  Square: (r, inputs) => binary(r, "Mul", required(inputs, "x"), required(inputs, "x")),
  Sigmoid: of1("Sigmoid"),
  Tanh: of1("Tanh"),
  Softplus: of1("Softplus"),
  Floor: of1("Floor"),
  Relu: of1("Relu"),
  Step: leakyStep,
  ClipByValue: (r, inputs, { clipValueMin, clipValueMax }: { clipValueMin: number; clipValueMax: number }) => {
    const x = required(inputs, "x");
    return r.node("Clip", [x, r.scalar(clipValueMin, x.dtype), r.scalar(clipValueMax, x.dtype)], x.shape, x.dtype);
  },
  Identity: (_r, inputs) => required(inputs, "x"),
  Cast: (r, inputs, { dtype }: { dtype: Value["dtype"] }) => cast(r, required(inputs, "x"), dtype),
  // A chain of Adds: ONNX Runtime's n-ary Sum is several times slower.
  AddN: (r, inputs) => Object.values(inputs).reduce((sum, value) => binary(r, "Add", sum, value)),
};

const compare =
  (op: string): Rule =>
  (r, inputs) =>
    binary(r, op, required(inputs, "a"), required(inputs, "b"), "bool");

export const comparisonRules: RuleTable = {
  Equal: compare("Equal"),
  NotEqual: (r, inputs) => unary(r, "Not", binary(r, "Equal", required(inputs, "a"), required(inputs, "b"), "bool")),
  Greater: compare("Greater"),
  GreaterEqual: compare("GreaterOrEqual"),
  Less: compare("Less"),
  LessEqual: compare("LessOrEqual"),
  LogicalAnd: compare("And"),
  LogicalOr: compare("Or"),
  LogicalNot: of1("Not"),
  Select: (r, inputs) => {
    const [condition, t, e] = [required(inputs, "condition"), required(inputs, "t"), required(inputs, "e")];
    const shape = broadcast(broadcast(t.shape, e.shape), condition.shape);
    return r.node("Where", [condition, t, e], shape, t.dtype);
  },
  ZerosLike: (r, inputs) => filled(r, required(inputs, "x"), 0),
  OnesLike: (r, inputs) => filled(r, required(inputs, "x"), 1),
};

function filled(r: Recorder, { shape, dtype }: Value, x: number): Value {
  return expand(r, r.scalar(x, dtype), shape);
}
