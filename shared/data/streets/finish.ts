import { IGNORE, type Example } from "../dataset";
import type { Size } from "../images";
import type { Canvas } from "./canvas";
import { lattice, type Draws } from "./draws";
import type { Light } from "./setting";

/**
 * Applies the effects of the camera: haze by distance, exposure and tint, vignette, sensor noise. The image averages a supersampled canvas;
 * the label takes the sample at the pixel's centre.
 */
export function develop(canvas: Canvas, draws: Draws, light: Light, size: Size): Example {
  const factor = canvas.width / size.width;
  const image = new Uint8Array(size.height * size.width * 3);
  const label = new Uint8Array(size.height * size.width).fill(IGNORE);
  const seed = draws.seed();
  const grain = draws.range(3, 14);
  const vignette = draws.range(0, 0.35);
  const share = 1 / (factor * factor);
  const bloom = draws.range(0, 8);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      let r = 0;
      let g = 0;
      let b = 0;
      for (let dy = 0; dy < factor; dy++) {
        for (let dx = 0; dx < factor; dx++) {
          const at = (y * factor + dy) * canvas.width + x * factor + dx;
          const z = canvas.distance[at]!;
          const clear = z > 1e7 ? 1 : light.hazeDistance / (light.hazeDistance + z);
          r += canvas.color[3 * at]! * clear + light.haze[0] * (1 - clear);
          g += canvas.color[3 * at + 1]! * clear + light.haze[1] * (1 - clear);
          b += canvas.color[3 * at + 2]! * clear + light.haze[2] * (1 - clear);
        }
      }
      const cx = x / size.width - 0.5;
      const cy = y / size.height - 0.5;
      const gain = light.exposure * (1 - vignette * 2 * (cx * cx + cy * cy)) * share;
      const bits = lattice(x, y, seed);
      const to = y * size.width + x;
      image[3 * to] = toByte(r * gain * light.tint[0] + bloom + grain * centred(bits));
      image[3 * to + 1] = toByte(g * gain * light.tint[1] + bloom + grain * centred(bits >>> 10));
      image[3 * to + 2] = toByte(b * gain * light.tint[2] + bloom + grain * centred(bits >>> 20));
      const centre = factor >> 1;
      label[to] = canvas.label[(y * factor + centre) * canvas.width + x * factor + centre]!;
    }
  }
  return { image, label };
}

/** Ten bits -> -1..1, the sum of two fives: triangular, nearer to a sensor's noise than uniform. */
function centred(bits: number): number {
  return ((bits & 31) + ((bits >>> 5) & 31)) / 31 - 1;
}

function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}
