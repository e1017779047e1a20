import type { Canvas, Color } from "./canvas";
import { BUILDING, SKY, TREE } from "./classes";
import { noise, speck, type Draws } from "./draws";
import type { Setting } from "./setting";

const SKIES: readonly (readonly [Color, Color])[] = [
  [
    [70, 120, 190],
    [170, 200, 230],
  ],
  [
    [95, 150, 215],
    [200, 215, 230],
  ],
  [
    [165, 170, 178],
    [205, 205, 205],
  ],
  [
    [125, 130, 138],
    [178, 178, 176],
  ],
  [
    [225, 228, 232],
    [242, 240, 236],
  ],
  [
    [90, 100, 150],
    [235, 170, 120],
  ],
];

/** Sky with clouds, behind everything; then distant houses or a wood at the end of the street. */
export function drawBackdrop(canvas: Canvas, draws: Draws, setting: Setting): void {
  const [high, low] = draws.pick(SKIES);
  const seed = draws.seed();
  const cover = draws.range(-0.1, 0.75);
  const cloud = draws.range(190, 245);
  const { horizon } = canvas.camera;
  const scale = 7 / canvas.width;
  const rows = Math.min(canvas.height, Math.floor(horizon) + 1);
  for (let v = 0; v < rows; v++) {
    const t = Math.min(1, Math.max(0, v / Math.max(horizon, 1)));
    const stretch = 1.5 + 4 * t;
    for (let u = 0; u < canvas.width; u++) {
      const wisps =
        noise(u * scale, v * scale * stretch, seed) * 0.7 +
        noise(u * scale * 3, v * scale * stretch * 3, seed + 1) * 0.3;
      const white = Math.min(1, Math.max(0, (wisps - 1 + cover + 0.25) * 3));
      canvas.r = (high[0] + (low[0] - high[0]) * t) * (1 - white) + cloud * white;
      canvas.g = (high[1] + (low[1] - high[1]) * t) * (1 - white) + cloud * white;
      canvas.b = (high[2] + (low[2] - high[2]) * t) * (1 - white) + (cloud + 4) * white;
      canvas.put(v * canvas.width + u, SKY, 1e8);
    }
  }
  drawSkyline(canvas, draws, setting);
}

function drawSkyline(canvas: Canvas, draws: Draws, { street, light }: Setting): void {
  const z = draws.range(110, 170);
  const seed = draws.seed();
  const wood = draws.chance(0.5);
  const top = wood ? draws.range(5, 12) : draws.range(6, 12 + 22 * street.density);
  const ground: Color = wood ? [70, 85, 55] : [128, 122, 116];
  const middle = canvas.camera.x - canvas.camera.bend * z * z;
  canvas.wall([middle - 220, z], [middle + 220, z], -1, top, (s, y) => {
    const house = Math.floor(s / 11);
    const skyline = wood ? top * (0.45 + 0.55 * noise(s * 0.12, 0, seed)) : top * (0.35 + 0.65 * speck(house, 0, seed));
    if (y > skyline) return 255;
    const dark = !wood && speck(Math.floor(s / 1.8), Math.floor(y / 3), seed) < 0.45 ? 0.7 : 1;
    const vary = wood ? 0.7 + 0.6 * noise(s, y, seed) : 0.75 + 0.5 * speck(house, 1, seed);
    canvas.brush(ground, dark * vary * light.shade);
    return wood ? TREE : BUILDING;
  });
}
