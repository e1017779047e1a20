import { contactSheet } from "../../../shared/data/images";
import type { Dataset, DatasetInfo } from "../../../shared/data/open";
import { openOnnx } from "../../../shared/engine/onnx";
import type { DiscreteNetwork } from "../../../shared/network/discrete";
import { networkOnnx, storeTrained, type NetworkParameters, type Store } from "../../../shared/network/export";
import { LatheError } from "../../../shared/process/errors";
import type { NetworkTrained } from "../../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../../shared/proto/lathe/v1/result";

/** Number of prediction sheets. */
const PREDICTIONS = 4;

/** Stores a trained network as ONNX, in its deploy form and as a bundle of weights, and the ONNX file's predictions on validation images as PNG sheets. */
export async function storeNetwork(
  network: DiscreteNetwork,
  parameters: NetworkParameters,
  dataset: Dataset,
  validationMiou: number,
  port: Store,
): Promise<Pick<NetworkTrained, "onnx" | "weights" | "deploy" | "predictions">> {
  const { classes, license } = dataset.info;
  const bytes = networkOnnx(network, parameters, classes, license);
  const files = await storeTrained(network, parameters, bytes, { ...dataset.info, validationMiou }, port);
  const predictions: ArtifactRef[] = [];
  for (const [index, png] of (await predictionSheets(bytes, network, dataset)).entries())
    predictions.push(await port.store(`predictions/${index + 1}.png`, png, "image/png"));
  return { ...files, predictions };
}

/** Stores the confusion of a data set's classes, counts[label * classes + prediction], as JSON with their names and colours. */
export function storeConfusion(
  counts: Float64Array,
  { classes, colors }: DatasetInfo,
  port: Store,
): Promise<ArtifactRef> {
  const n = classes.length;
  const content = {
    classes: classes.map((name, index) => ({ name, color: colors[index] ?? [] })),
    pixels: classes.map((_, label) => [...counts.subarray(label * n, (label + 1) * n)]),
  };
  return port.store("confusion.json", new TextEncoder().encode(`${JSON.stringify(content)}\n`), "application/json");
}

async function predictionSheets(onnx: Uint8Array, network: DiscreteNetwork, dataset: Dataset): Promise<Uint8Array[]> {
  const { height, width, validation, info } = dataset;
  const model = await openOnnx(onnx, { threads: 1, provider: "cpu" });
  try {
    const count = Math.min(PREDICTIONS, validation.length);
    const sheets: Uint8Array[] = [];
    for (let at = 0; at < count; at++) {
      // Indices are spread over the split, because many data sets are ordered by recording.
      const index = Math.floor((at * validation.length) / count);
      const { image, label } = await validation.example(index);
      const pixels = height * width;
      const planes = new Float32Array(3 * pixels);
      for (let p = 0; p < pixels; p++)
        for (let c = 0; c < 3; c++) planes[c * pixels + p] = (image[3 * p + c] ?? 0) / 255;
      const { logits } = await model.run({ image: planes });
      if (!logits) throw new LatheError("INTERNAL", 'the exported network has no output "logits"');
      const { stride, genotype } = network;
      const data = argmax(logits, genotype.classes, logits.length / genotype.classes);
      const prediction = { data, height: height / stride, width: width / stride };
      sheets.push(await contactSheet({ size: { height, width }, image, label, prediction, colors: info.colors }));
    }
    return sheets;
  } finally {
    await model.release();
  }
}

/** Class of the largest logit per cell of [classes, cells]. */
function argmax(logits: ArrayLike<number>, classes: number, cells: number): Uint8Array {
  return Uint8Array.from({ length: cells }, (_, cell) => {
    let best = 0;
    for (let c = 1; c < classes; c++)
      if ((logits[c * cells + cell] ?? -Infinity) > (logits[best * cells + cell] ?? -Infinity)) best = c;
    return best;
  });
}
