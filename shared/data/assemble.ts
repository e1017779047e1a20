import { IGNORE, type Batch, type BatchOrder, type Example } from "./dataset";
import type { Size } from "./images";

/**
 * Assembles a batch. Each example is flipped (if the order says so), then shifted by whole pixels; uncovered pixels are black and IGNORE.
 * A label cell takes the transformed label at its centre, stride * i + floor(stride / 2): unlike a majority vote, this keeps thin objects.
 * The batch is written into `spare` if that has the same size.
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
    const transform: Transform = {
      flip: order.flips[n] ?? false,
      shiftX: order.shiftsX[n] ?? 0,
      shiftY: order.shiftsY[n] ?? 0,
    };
    fillImage(images.subarray(n * 3 * height * width, (n + 1) * 3 * height * width), example.image, size, transform);
    fillLabels(labels.subarray(n * cells, (n + 1) * cells), example.label, size, transform, stride);
  });
  return { images, labels, size: examples.length, indices: [...order.indices] };
}

interface Transform {
  readonly flip: boolean;
  readonly shiftX: number;
  readonly shiftY: number;
}

/** Source column of column x of the output; -1 outside of the source. */
function sourceColumn(x: number, width: number, { flip, shiftX }: Transform): number {
  const moved = x - shiftX;
  if (moved < 0 || moved >= width) return -1;
  return flip ? width - 1 - moved : moved;
}

/** Writes an image, [H,W,3] bytes -> [3,H,W] floats in 0..1. */
function fillImage(out: Float32Array, image: Uint8Array, { height, width }: Size, transform: Transform): void {
  const plane = height * width;
  const columns = Int32Array.from({ length: width }, (_, x) => sourceColumn(x, width, transform));
  for (let y = 0; y < height; y++) {
    const row = y - transform.shiftY;
    if (row < 0 || row >= height) continue;
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
  transform: Transform,
  stride: number,
): void {
  const centre = stride >> 1;
  let to = 0;
  for (let y = centre; y < height; y += stride) {
    const row = y - transform.shiftY;
    for (let x = centre; x < width; x += stride) {
      const column = sourceColumn(x, width, transform);
      out[to++] = row < 0 || row >= height || column < 0 ? IGNORE : label[row * width + column]!;
    }
  }
}
