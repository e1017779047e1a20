import type { Origin } from "./scope";

/** Kinds of work by which profiles group the nodes of a graph. */
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

/**
 * Families by kernel name; the first match counts. All nodes of a kernel belong to its family, for example the windows of a weight
 * gradient.
 */
const KERNELS: [RegExp, Family][] = [
  [/WeightGradient/, "convolution, weight gradient"],
  [/InputGradient|Gradient\/Conv/, "convolution, input gradient"],
  [/Conv/, "convolution, forward"],
  // Computed by a matrix product, which would count as a resize.
  [/SegmentSum/, "reduction"],
];

/**
 * Kernels whose derivative consists of common ops; the derivative belongs to the same family. Only resampling uses the kernel of matrix
 * products.
 */
const WITH_DERIVATIVE: [RegExp, Family][] = [
  [/Norm|Channel(Mean|Affine)/, "norm"],
  [/Pool/, "pooling"],
  [/MatMul|Resize|Upsample/, "resize"],
];

const LAYOUT =
  /^(Reshape|Transpose|Concat|Split|Slice|Pad|Expand|Tile|Gather|Cast|Identity|Squeeze|Unsqueeze|Reorder(Input|Output))$/;
const REDUCTION = /^(Reduce\w+|GlobalAveragePool|ArgMax)$/;

/**
 * The family of a node, from its origin and its ONNX operator. Nodes that ONNX Runtime added have no origin; the operator alone decides.
 */
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
