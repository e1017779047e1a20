import type { Canvas, Color } from "./canvas";
import { HOLE, POLE, SIGN } from "./classes";
import type { Draws } from "./draws";
import { drawFence } from "./buildings";
import { facingGain, type Setting } from "./setting";

const METALS: readonly Color[] = [
  [112, 114, 116],
  [66, 70, 70],
  [160, 160, 156],
  [62, 82, 66],
  [110, 86, 62],
];

/** Lamp posts in a row, poles with traffic signs or lights, bollards, and railings at the kerb. */
export function drawFurniture(canvas: Canvas, draws: Draws, setting: Setting): void {
  const { street } = setting;
  for (const side of [-1, 1] as const) {
    const x = side * (street.road + 0.45);
    if (draws.chance(0.75)) {
      const metal = draws.pick(METALS);
      const tall = draws.range(4.5, 8.5);
      const thick = draws.range(0.07, 0.13);
      for (let z = draws.range(4, 18); z < 90; z += draws.range(13, 24))
        drawLamp(canvas, setting, side, x, z, tall, thick, metal);
    }
    for (let z = draws.range(5, 14); z < 60; z += draws.range(6, 24)) {
      if (draws.chance(0.3)) drawTrafficLight(canvas, draws, setting, x + side * 0.2, z);
      else drawTrafficSign(canvas, draws, setting, x + side * draws.range(0, 0.8), z);
    }
    if (draws.chance(0.25)) {
      const metal = draws.pick(METALS);
      for (let z = draws.range(4, 8); z < 30; z += 2.2)
        drawPost(canvas, setting, x, z, 0, draws.range(0.85, 0.95), 0.07, metal);
    }
    if (draws.chance(0.22)) {
      const z = draws.range(4, 20);
      const kerb = { ...setting, street: { ...street, pavement: street.road + 0.3 } };
      drawFence(canvas, draws, kerb, side, z, z + draws.range(5, 18));
    }
  }
}

function drawPost(
  canvas: Canvas,
  { light }: Setting,
  x: number,
  z: number,
  y0: number,
  y1: number,
  half: number,
  color: Color,
): void {
  canvas.wall([x - half, z], [x + half, z], y0, y1, (s) => {
    const across = s / half - 1;
    canvas.brush(color, 0.85 + 0.3 * (light.sun === 0 ? -across * across : across * light.sun));
    return POLE;
  });
}

function drawLamp(
  canvas: Canvas,
  setting: Setting,
  side: -1 | 1,
  x: number,
  z: number,
  tall: number,
  half: number,
  metal: Color,
): void {
  drawPost(canvas, setting, x, z, 0, tall, half, metal);
  const tip = x - side * 1.6;
  canvas.wall([Math.min(x, tip), z], [Math.max(x, tip), z], tall - 0.16, tall, () => {
    canvas.brush(metal, 0.9);
    return POLE;
  });
}

/** Round, triangular, square or diamond plate with a rim, on a thin pole; some are road-name or advertising boards. */
function drawTrafficSign(canvas: Canvas, draws: Draws, setting: Setting, x: number, z: number): void {
  const bottom = draws.range(1.9, 2.5);
  const half = draws.range(0.32, 0.5);
  const wide = draws.chance(0.25) ? draws.range(1.4, 2.2) : 1;
  const shape = wide > 1 ? "square" : draws.pick(["round", "round", "triangle", "square", "diamond"] as const);
  const face = draws.pick<Color>([
    [214, 212, 206],
    [36, 66, 146],
    [206, 172, 42],
    [160, 34, 34],
    [44, 98, 66],
    [120, 118, 114],
  ]);
  const rim = draws.pick<Color>([
    [168, 30, 32],
    [224, 222, 216],
    [30, 30, 32],
  ]);
  const gain = facingGain(setting.light, 0) * 1.05;
  drawPost(canvas, setting, x, z, 0, bottom + 0.2, 0.045, draws.pick(METALS));
  canvas.wall([x - half * wide, z - 0.05], [x + half * wide, z - 0.05], bottom, bottom + 2 * half, (s, y) => {
    const across = Math.abs(s / half / wide - 1);
    const up = (y - bottom) / half - 1;
    const radius =
      shape === "round"
        ? Math.sqrt(across * across + up * up)
        : shape === "diamond"
          ? across + Math.abs(up)
          : shape === "triangle"
            ? Math.max(across * 1 + (up + 1) / 2, -up * 0.95)
            : Math.max(across, Math.abs(up));
    if (radius > 1) return HOLE;
    canvas.brush(radius > 0.78 ? rim : face, gain);
    return SIGN;
  });
}

function drawTrafficLight(canvas: Canvas, draws: Draws, setting: Setting, x: number, z: number): void {
  const bottom = draws.range(2.3, 2.9);
  const lit = draws.integer(3);
  const lamps: readonly Color[] = [
    [60, 214, 120],
    [238, 178, 40],
    [232, 52, 42],
  ];
  drawPost(canvas, setting, x, z, 0, bottom + 0.5, 0.07, draws.pick(METALS));
  canvas.wall([x - 0.24, z - 0.06], [x + 0.24, z - 0.06], bottom, bottom + 1.2, (s, y) => {
    const lamp = Math.min(2, Math.floor((y - bottom) / 0.4));
    const [dx, dy] = [s - 0.24, y - bottom - 0.2 - lamp * 0.4];
    if (dx * dx + dy * dy < 0.022) canvas.brush(lamps[lamp]!, lamp === lit ? 1.1 : 0.3);
    else canvas.brush([34, 38, 36], 1);
    return SIGN;
  });
}
