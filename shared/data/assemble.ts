import { changeColors } from "./color";
import { IGNORE, type Batch, type BatchOrder, type Example } from "./dataset";
import type { Size } from "./images";
import { sourcesOf, zoomImage } from "./zoom";

/**
 * Assembles a batch. Each example gets its colours, then is flipped, scaled and shifted as the order says; uncovered pixels are black and
 * IGNORE. A label cell takes the transformed label at its centre, stride * i + floor(stride / 2): unlike a majority vote, this keeps thin
 * objects. The batch is written into `spare` if that has the same size.
 */
export function assembleBatch(examples: readonly Example[], size: Size, order: BatchOrder, spare?: Batch): Batch {
  const { height, width } = size;
  const stride = order.labelStride;
  const cells = (height / stride) * (width / stride);
  const pixels = examples.length * 3 * height * width;
  const fits = spare?.images.length === pixels && spare.labels.length === examples.length * cells;
  const reused = fits ? spare : undefined;
  const images = reused?.images.fill(0) ?? new Float32Array(pixels);
  const labels = reused?.labels ?? new Int32Array(examples.length * cells);
  examples.forEach((example, n) => {
    const { scale, x, y } = order.zooms?.[n] ?? { scale: 1, x: 0, y: 0 };
    const mirrored = order.flips[n] ?? false;
    const rows = { length: height, mirrored: false, scale, place: y, shift: order.shiftsY[n] ?? 0 };
    const columns = { length: width, mirrored, scale, place: x, shift: order.shiftsX[n] ?? 0 };
    const colors = order.colors?.[n];
    const image = colors ? changeColors(example.image, colors) : example.image;
    const sources = { rows: sourcesOf(rows), columns: sourcesOf(columns) };
    const out = images.subarray(n * 3 * height * width, (n + 1) * 3 * height * width);
    if (scale === 1) fillImage(out, image, size, sources);
    else zoomImage(out, image, size, rows, columns);
    fillLabels(labels.subarray(n * cells, (n + 1) * cells), example.label, size, sources, stride);
  });
  return { images, labels, size: examples.length, indices: [...order.indices] };
}

/** The source row and column of each row and column of the output; -1 outside of the source. */
interface Sources {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
}

/** Writes an image, [H,W,3] bytes -> [3,H,W] floats in 0..1. */
function fillImage(out: Float32Array, image: Uint8Array, { height, width }: Size, { rows, columns }: Sources): void {
  const plane = height * width;
  for (let y = 0; y < height; y++) {
    const row = rows[y]!;
    if (row < 0) continue;
    for (let x = 0; x < width; x++) {
      const column = columns[x]!;
      if (column < 0) continue;
      const from = 3 * (row * width + column);
      const to = y * width + x;
      out[to] = image[from]! / 255;
      out[to + plane] = image[from + 1]! / 255;
      out[to + 2 * plane] = image[from + 2]! / 255;
    }
  }
}

function fillLabels(
  out: Int32Array,
  label: Uint8Array,
  { height, width }: Size,
  { rows, columns }: Sources,
  stride: number,
): void {
  const centre = stride >> 1;
  let to = 0;
  for (let y = centre; y < height; y += stride) {
    const row = rows[y]!;
    for (let x = centre; x < width; x += stride) {
      const column = columns[x]!;
      out[to++] = row < 0 || column < 0 ? IGNORE : label[row * width + column]!;
    }
  }
}
