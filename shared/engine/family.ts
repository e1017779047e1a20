import type { Origin } from "./scope";

/** What kind of work a node does, as profiles sum it up. */
export const FAMILIES = [
  "convolution, forward",
  "convolution, input gradient",
  "convolution, weight gradient",
  "norm",
  "pooling",
  "resize",
  "elementwise",
  "reduction",
  "layout",
  "optimizer",
  "other",
] as const;
export type Family = (typeof FAMILIES)[number];

/** Kernels by their names; the first that fits counts. What a kernel needs of other work, as the windows of a weight gradient, is of it. */
const KERNELS: [RegExp, Family][] = [
  [/WeightGradient/, "convolution, weight gradient"],
  [/InputGradient|Gradient\/Conv/, "convolution, input gradient"],
  [/Conv/, "convolution, forward"],
];

/** Of these the derivative is made of common ops, which count for them too. Resampling is by matrix products, and nothing else is. */
const WITH_DERIVATIVE: [RegExp, Family][] = [
  [/Norm|Channel(Mean|Affine)/, "norm"],
  [/Pool/, "pooling"],
  [/MatMul|Resize|Upsample/, "resize"],
];

const LAYOUT =
  /^(Reshape|Transpose|Concat|Split|Slice|Pad|Expand|Tile|Gather|Cast|Identity|Squeeze|Unsqueeze|Reorder(Input|Output))$/;
const REDUCTION = /^(Reduce\w+|GlobalAveragePool|ArgMax)$/;

/** The family of a node by where it comes from and its ONNX operator; of a node that ONNX Runtime made itself, by the operator alone. */
export function familyOf(op: string, origin: Origin | undefined): Family {
  if (origin?.part === "optimizer") return "optimizer";
  const named = (table: [RegExp, Family][], kernel = "") => table.find(([name]) => name.test(kernel))?.[1];
  const known =
    named(KERNELS, origin?.kernel) ??
    named(WITH_DERIVATIVE, origin?.kernel) ??
    named(WITH_DERIVATIVE, origin?.derivativeOf);
  if (known) return known;
  if (LAYOUT.test(op)) return "layout";
  if (REDUCTION.test(op)) return "reduction";
  return named(WITH_DERIVATIVE, op) ?? (origin?.kernel ? "elementwise" : "other");
}
