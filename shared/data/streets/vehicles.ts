import type { Canvas, Color } from "./canvas";
import { CAR, HOLE } from "./classes";
import type { Draws } from "./draws";
import { darken } from "./ground";
import { facingGain, type Light, type Setting } from "./setting";

const PAINTS: readonly Color[] = [
  [34, 36, 40],
  [92, 94, 98],
  [148, 150, 154],
  [212, 212, 210],
  [132, 34, 32],
  [46, 64, 110],
  [66, 84, 62],
  [150, 120, 80],
  [186, 168, 60],
];

interface Body {
  readonly width: number;
  readonly length: number;
  readonly height: number;
  /** Height where the glass starts. */
  readonly waist: number;
  /** Difference between the half widths of waist and roof, in metres: small for vans. */
  readonly taper: number;
}

const BODIES: readonly Body[] = [
  { width: 1.75, length: 4.2, height: 1.45, waist: 0.88, taper: 0.3 },
  { width: 1.85, length: 4.7, height: 1.5, waist: 0.92, taper: 0.28 },
  { width: 1.9, length: 4.6, height: 1.72, waist: 1.0, taper: 0.2 },
  { width: 2.0, length: 5.4, height: 2.35, waist: 1.25, taper: 0.08 },
];

/** Cars on both lanes, and parked cars at the kerbs. */
export function drawVehicles(canvas: Canvas, draws: Draws, setting: Setting): void {
  const { street } = setting;
  for (const side of [-1, 1] as const) {
    const lane = side * street.road * (street.lanes === 4 ? 0.3 : 0.48);
    for (let z = draws.range(6, 30); z < 90; z += draws.range(8, 14 + 60 * (1 - street.traffic))) {
      if (draws.chance(0.4 + 0.4 * street.traffic))
        drawCar(canvas, draws, setting.light, lane + draws.range(-0.3, 0.3), z, side < 0);
    }
    if (draws.chance(0.6)) {
      const parked = side * (street.road - 1.05);
      for (let z = draws.range(3, 14); z < 70; z += draws.range(5.6, 12 + 12 * (1 - street.traffic))) {
        if (street.road > 4.2 || z > 12) drawCar(canvas, draws, setting.light, parked, z, draws.chance(0.2));
      }
    }
  }
}

/** A box with a tapered cabin: its end at z, and the side that faces the camera. */
function drawCar(canvas: Canvas, draws: Draws, light: Light, x: number, z: number, oncoming: boolean): void {
  const body = draws.pick(BODIES);
  const paint = draws.pick(PAINTS);
  const glass = draws.pick<Color>([
    [36, 40, 46],
    [72, 84, 96],
    [128, 144, 158],
  ]);
  const half = body.width / 2;
  darken(canvas, [x - half - 0.25, x + half + 0.25], [z - 0.35, z + body.length + 0.3], 0.38, () => true);
  const visible = x > canvas.camera.x ? -1 : 1;
  const flank = x + visible * half;
  const endGain = facingGain(light, 0);
  const sideGain = facingGain(light, visible);
  canvas.wall([flank, z], [flank, z + body.length], 0, body.height, sideShader(canvas, body, paint, glass, sideGain));
  canvas.wall([x - half, z], [x + half, z], 0, body.height, endShader(canvas, body, paint, glass, endGain, oncoming));
}

function endShader(canvas: Canvas, body: Body, paint: Color, glass: Color, gain: number, oncoming: boolean) {
  const lamp: Color = oncoming ? [236, 232, 214] : [172, 30, 26];
  return (s: number, y: number): number => {
    const fromEdge = Math.min(s, body.width - s);
    if (y > body.waist) {
      const inset = (body.taper * (y - body.waist)) / (body.height - body.waist);
      if (fromEdge < inset + 0.04) return HOLE;
      const pane = fromEdge > inset + 0.14 && y < body.height - 0.12;
      canvas.brush(pane ? glass : paint, gain * (pane ? 0.8 + 0.4 * (y - body.waist) : 0.95));
      return CAR;
    }
    if (y < 0.3) {
      if (y < 0.18 && fromEdge > 0.32) return HOLE;
      canvas.brush([24, 24, 26], 1);
    } else if (y > 0.58 && y < 0.78 && fromEdge < 0.34) canvas.brush(lamp, 1);
    else if (y > 0.4 && y < 0.54 && Math.abs(s - body.width / 2) < 0.26) canvas.brush([206, 204, 186], gain);
    else canvas.brush(paint, gain * (0.72 + 0.3 * y));
    return CAR;
  };
}

function sideShader(canvas: Canvas, body: Body, paint: Color, glass: Color, gain: number) {
  const { length, height, waist, taper } = body;
  const van = height > 2;
  const front = van ? 0.5 : 1.15; // metres of bonnet and boot beyond the cabin
  const back = van ? 0.08 : 0.5;
  return (s: number, y: number): number => {
    const wheel = Math.min(Math.abs(s - 0.2 * length), Math.abs(s - 0.8 * length));
    const hub = wheel * wheel + (y - 0.32) * (y - 0.32);
    if (hub < 0.1) {
      canvas.brush(hub < 0.03 ? [120, 122, 126] : [22, 22, 24], gain);
      return CAR;
    }
    if (y < 0.22) return HOLE;
    if (y <= waist) {
      canvas.brush(paint, gain * (0.66 + 0.36 * y) * (Math.abs(s - length / 2) < 0.03 ? 0.7 : 1));
      return CAR;
    }
    const rise = (y - waist) / (height - waist);
    const from = back + rise * taper * 1.6;
    const to = length - front - rise * taper * 2.2;
    if (s < from || s > to) return HOLE;
    const pillar = Math.abs(s - (from + to) / 2) < 0.06 || s < from + 0.1 || s > to - 0.1 || y > height - 0.12;
    canvas.brush(pillar || (van && s < length * 0.6) ? paint : glass, gain);
    return CAR;
  };
}
