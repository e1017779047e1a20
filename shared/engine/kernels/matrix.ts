import { matMul, oneHot, reshape, sizeOf, transposeMatrix } from "../emit";
import { required, type RuleTable } from "./rule";

export const matrixRules: RuleTable = {
  BatchMatMul: (r, inputs, attrs: { transposeA: boolean; transposeB: boolean }) => {
    const [a, b] = [required(inputs, "a"), required(inputs, "b")];
    return matMul(r, attrs.transposeA ? transposeMatrix(r, a) : a, attrs.transposeB ? transposeMatrix(r, b) : b);
  },
  // The derivative of a gather. A one-hot matrix adds up the rows, because ONNX's ScatterElements cannot add in parallel.
  UnsortedSegmentSum: (r, inputs, attrs: { numSegments: number }) => {
    const [x, segments] = [required(inputs, "x"), required(inputs, "segmentIds")];
    const rows = sizeOf(segments);
    const hot = transposeMatrix(r, oneHot(r, reshape(r, segments, [rows]), attrs.numSegments));
    const sums = matMul(r, hot, reshape(r, x, [rows, sizeOf(x) / rows]));
    return reshape(r, sums, [attrs.numSegments, ...x.shape.slice(segments.shape.length)]);
  },
};
