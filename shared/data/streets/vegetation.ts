import type { Canvas, Color } from "./canvas";
import { HOLE, TREE } from "./classes";
import { noise, speck, type Draws } from "./draws";
import { darken } from "./ground";
import type { Setting } from "./setting";

const LEAVES: readonly Color[] = [
  [62, 88, 40],
  [88, 108, 50],
  [48, 66, 42],
  [128, 112, 52],
  [150, 92, 46],
  [104, 98, 76],
];

/** Street trees in rows, trees in gardens, and hedges. Their shadows are spotted. */
export function drawVegetation(canvas: Canvas, draws: Draws, setting: Setting): void {
  const { street } = setting;
  const leaves = draws.pick(LEAVES);
  for (const side of [-1, 1] as const) {
    if (draws.chance(0.35 + 0.6 * street.green)) {
      const spacing = draws.range(7, 16);
      const x = side * (street.road + draws.range(0.6, 1.1));
      for (let z = draws.range(5, 14); z < 80; z += spacing * draws.range(0.8, 1.3))
        drawTree(canvas, draws, setting, x, z, leaves);
    }
    const behind = draws.integer(1 + Math.floor(street.green * 6));
    for (let i = 0; i < behind; i++) {
      const x = side * (street.pavement + draws.range(1, 9));
      drawTree(canvas, draws, setting, x, draws.range(8, 70), draws.pick(LEAVES));
    }
    if (draws.chance(0.3 * street.green)) drawHedge(canvas, draws, setting, side);
  }
}

function drawTree(canvas: Canvas, draws: Draws, { light }: Setting, x: number, z: number, leaves: Color): void {
  const height = draws.range(4, 9.5);
  const radius = height * draws.range(0.24, 0.4);
  const crown = height - radius * draws.range(0.9, 1.2);
  const trunk = draws.range(0.1, 0.24);
  const bark = draws.pick<Color>([
    [84, 70, 58],
    [104, 98, 90],
    [62, 54, 48],
  ]);
  const seed = draws.seed();
  const bare = draws.chance(0.15) ? 0.52 : 0.3;
  if (light.sun !== 0) {
    const middle = x - light.sun * crown * light.shadowLength * 0.8;
    darken(canvas, [middle - radius, middle + radius], [z - radius, z + radius], light.shade, (gx, gz) => {
      const [dx, dz] = [(gx - middle) / radius, (gz - z) / radius];
      return dx * dx + dz * dz < 1 && noise(gx * 2.5, gz * 2.5, seed) > 0.4;
    });
  }
  canvas.wall([x - trunk, z], [x + trunk, z], 0, crown, (s, y) => {
    canvas.brush(bark, (0.6 + (0.5 * s) / trunk / 2) * (0.8 + 0.4 * noise(s * 20, y * 3, seed)));
    return TREE;
  });
  canvas.wall([x - radius, z], [x + radius, z], crown - radius, crown + radius, (s, y) => {
    const [dx, dy] = [s / radius - 1, (y - crown) / radius];
    const lumps = noise(s * 1.3, y * 1.3, seed);
    const twigs = noise(s * 5, y * 5, seed + 1);
    const inside = 1 - dx * dx - dy * dy;
    if (inside + (lumps - 0.5) * 0.9 < 0.1 || (twigs < bare && inside < 0.55)) return HOLE;
    const lit = light.sun === 0 ? 0.78 + 0.22 * dy : 0.72 + 0.3 * dx * light.sun + 0.22 * dy;
    canvas.brush(leaves, lit * (0.55 + 0.5 * lumps + 0.45 * twigs));
    return TREE;
  });
}

function drawHedge(canvas: Canvas, draws: Draws, { street, light }: Setting, side: -1 | 1): void {
  const x = side * (street.pavement + 0.25);
  const z0 = draws.range(3, 25);
  const top = draws.range(0.8, 2.1);
  const leaves = draws.pick(LEAVES);
  const seed = draws.seed();
  canvas.wall([x, z0], [x, z0 + draws.range(5, 16)], 0, top + 0.2, (s, y) => {
    if (y > top + 0.4 * (noise(s * 3, 0, seed) - 0.5)) return HOLE;
    canvas.brush(
      leaves,
      (0.5 + 0.3 * speck(Math.floor(s * 14), Math.floor(y * 14), seed) + (0.35 * y) / top) * (1 + light.shade) * 0.6,
    );
    return TREE;
  });
}
