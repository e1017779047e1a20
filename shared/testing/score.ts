import { batches } from "../data/batches";
import { datasetOptions, openDataset } from "../data/open";
import { openOnnx } from "../engine/onnx";

/** mIoU of an ONNX file over the validation split of a resolved spec, computed apart from the evaluation of Lathe. */
export async function onnxMiou(
  bytes: Uint8Array,
  spec: Parameters<typeof datasetOptions>[0],
  size: Parameters<typeof datasetOptions>[1],
): Promise<number> {
  const { inputHeight: height, inputWidth: width, classes } = size;
  const dataset = await openDataset(datasetOptions(spec, size));
  const network = await openOnnx(bytes);
  const both = new Array<number>(classes).fill(0);
  const either = new Array<number>(classes).fill(0);
  try {
    expect(network.inputs.image!.shape).toEqual([1, 3, height, width]);
    const { logits: some } = await network.run({ image: new Float32Array(3 * height * width) });
    const labelStride = Math.sqrt((height * width * classes) / some!.length);
    for await (const { images, labels } of batches(dataset.validation, { batchSize: 1, labelStride })) {
      const { logits } = await network.run({ image: images });
      labels.forEach((label, pixel) => {
        if (label >= classes) return;
        const values = Array.from({ length: classes }, (_, c) => Number(logits![c * labels.length + pixel]));
        const predicted = values.indexOf(Math.max(...values));
        if (predicted === label) both[label]!++;
        else either[predicted]!++;
        either[label]!++;
      });
    }
  } finally {
    await network.release();
    await dataset.close();
  }
  const scores = either.flatMap((union, c) => (union > 0 ? [both[c]! / union] : []));
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}
