import type { Canvas, Color } from "./canvas";
import { BUILDING, FENCE, HOLE } from "./classes";
import { noise, speck, type Draws } from "./draws";
import { darken } from "./ground";
import { facingGain, type Setting } from "./setting";

/** Wall colours deliberately overlap with those of road, pavement, sky, leaves and cars. */
const WALLS: readonly Color[] = [
  [168, 160, 148],
  [128, 126, 124],
  [98, 98, 102],
  [148, 86, 66],
  [120, 72, 58],
  [196, 182, 150],
  [206, 204, 200],
  [112, 122, 92],
  [140, 156, 172],
  [182, 140, 92],
];

const GLASS: readonly Color[] = [
  [44, 50, 58],
  [78, 92, 108],
  [120, 138, 156],
  [30, 30, 34],
];

/** Both rows of houses with gaps between them, from near to far, and their shadows on the ground. */
export function drawBuildings(canvas: Canvas, draws: Draws, setting: Setting): void {
  for (const side of [-1, 1] as const) {
    let z = draws.range(-6, 2);
    while (z < 105) {
      const length = draws.range(6, 9 + 8 * setting.street.density);
      const gap = draws.chance(0.55 - 0.4 * setting.street.density) ? draws.range(2, 11) : 0;
      drawHouse(canvas, draws, setting, side, z, z + length);
      z += length + gap;
    }
  }
}

function drawHouse(canvas: Canvas, draws: Draws, setting: Setting, side: -1 | 1, z0: number, z1: number): void {
  const { street, light } = setting;
  const x = side * (street.facade + (draws.chance(0.3) ? draws.range(0, 2.5) : 0));
  const floors = 1 + draws.integer(2 + Math.floor(street.density * 4.5));
  const height = floors * 3.1 + draws.range(0.4, 1.4);
  const facade = facadeShader(canvas, draws, floors);
  const depth = draws.range(7, 12);
  const roof = draws.chance(0.45) ? draws.range(1.5, 3.2) : 0;
  const roofColor = draws.pick<Color>([
    [92, 58, 48],
    [70, 70, 74],
    [120, 74, 56],
  ]);
  if (light.sun === -side) {
    // no shadow on the street: the sun is over the other side
  } else if (light.sun === side) {
    const reach = height * light.shadowLength;
    darken(canvas, side < 0 ? [x, x + reach] : [x - reach, x], [z0, z1], light.shade, () => true);
  }
  const front = facingGain(light, side < 0 ? 1 : -1);
  const steps = Math.max(1, Math.ceil((z1 - z0) / 6)); // short pieces follow the bend
  for (let i = 0; i < steps; i++) {
    const from = z0 + ((z1 - z0) * i) / steps;
    const to = z0 + ((z1 - z0) * (i + 1)) / steps;
    canvas.wall([x, from], [x, to], 0, height, (s, y) => facade(s + from - z0, y, front));
  }
  const gable = facingGain(light, 0);
  canvas.wall([x, z0], [x + side * depth, z0], 0, height + roof, (s, y) => {
    if (y <= height) return facade(s + 31, y, gable);
    if (y - height > roof * (1 - Math.abs((2 * s) / depth - 1))) return HOLE;
    canvas.brush(roofColor, gable);
    return BUILDING;
  });
  if (roof > 0) {
    canvas.wall([x + side * depth * 0.25, z0], [x + side * depth * 0.25, z1], height, height + roof * 0.9, (s, y) => {
      canvas.brush(roofColor, front * (0.85 + 0.3 * speck(Math.floor(s * 3), Math.floor(y * 4), 5)));
      return BUILDING;
    });
  }
  if (street.facade - street.pavement > 1.2 && draws.chance(0.4)) drawFence(canvas, draws, setting, side, z0, z1);
}

/** Windows on a grid, some with a lit or reflecting pane; shop fronts on some ground floors; stains and courses. */
function facadeShader(canvas: Canvas, draws: Draws, floors: number): (s: number, y: number, gain: number) => number {
  const wall = draws.pick(WALLS);
  const trim = draws.range(0.75, 1.3);
  const glass = draws.pick(GLASS);
  const seed = draws.seed();
  const pitch = draws.range(1.7, 3.6);
  const share = draws.range(0.3, 0.78);
  const sill = draws.range(0.7, 1.2);
  const head = draws.range(2.2, 2.7);
  const shop = floors > 1 && draws.chance(0.4);
  const awning = draws.pick(WALLS);
  const brick = draws.chance(0.4);
  return (s, y, gain) => {
    const floor = Math.floor(y / 3.1);
    const up = y - floor * 3.1;
    const bay = Math.floor(s / pitch);
    const across = s / pitch - bay;
    const edge = (1 - share) / 2;
    const stain = 0.84 + 0.24 * noise(s * 0.7, y * 0.5, seed);
    if (shop && floor === 0) {
      if (up > 2.5) canvas.brush(awning, gain * stain);
      else if (across < 0.06 || up < 0.4) canvas.brush(wall, 0.7 * gain);
      else canvas.brush(glass, gain * (0.7 + 0.9 * noise(s * 1.6, y * 1.6, seed + 3)));
      return BUILDING;
    }
    const inBay = across > edge && across < 1 - edge;
    if (floor < floors && inBay && up > sill && up < head) {
      const frame = across < edge + 0.06 || across > 1 - edge - 0.06 || Math.abs(up - (sill + head) / 2) < 0.06;
      if (frame) canvas.brush(wall, gain * trim);
      else canvas.brush(glass, gain * (0.65 + 1.2 * speck(bay, floor, seed)));
      return BUILDING;
    }
    const course = brick && Math.floor(y * 6) % 2 === 0 ? 0.92 : 1;
    canvas.brush(wall, gain * stain * course);
    return BUILDING;
  };
}

/** Fence or railing along the front of a garden. Gaps of railings show the background. */
export function drawFence(
  canvas: Canvas,
  draws: Draws,
  { street, light }: Setting,
  side: -1 | 1,
  z0: number,
  z1: number,
): void {
  const x = side * (street.pavement + 0.1);
  const top = draws.range(0.9, 1.7);
  const color = draws.pick<Color>([
    [128, 96, 66],
    [150, 148, 142],
    [60, 66, 60],
    [206, 202, 194],
    [96, 74, 56],
    [84, 104, 66],
  ]);
  const railing = draws.chance(0.35);
  const gain = facingGain(light, side < 0 ? 1 : -1);
  const seed = draws.seed();
  canvas.wall([x, z0], [x, z1], 0, top, (s, y) => {
    const board = Math.floor(s / 0.16);
    const within = s / 0.16 - board;
    if (railing && within > 0.55 && y < top - 0.12 && y > 0.12) return HOLE;
    const gap = !railing && within < 0.12 ? 0.55 : 1;
    canvas.brush(color, gain * gap * (0.8 + 0.35 * speck(board, 0, seed)));
    return FENCE;
  });
}
