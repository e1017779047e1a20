import type { Canvas, Color } from "./canvas";
import { HOLE, PEDESTRIAN } from "./classes";
import type { Draws } from "./draws";
import { darken } from "./ground";
import { facingGain, type Setting } from "./setting";

const CLOTHES: readonly Color[] = [
  [36, 38, 44],
  [88, 90, 96],
  [152, 150, 148],
  [206, 202, 196],
  [128, 44, 40],
  [44, 60, 104],
  [74, 92, 60],
  [168, 132, 84],
  [186, 160, 52],
];

const SKINS: readonly Color[] = [
  [196, 152, 126],
  [140, 98, 74],
  [88, 60, 46],
];

/** People on both pavements, some in groups, and sometimes one crossing the road. */
export function drawPedestrians(canvas: Canvas, draws: Draws, setting: Setting): void {
  const { street } = setting;
  const count = 2 + draws.integer(3 + Math.floor(street.crowd * 14));
  for (let i = 0; i < count; i++) {
    const crossing = draws.chance(0.15);
    const side = draws.chance(0.5) ? 1 : -1;
    const x = crossing
      ? draws.range(-street.road, street.road)
      : side * draws.range(street.verge + 0.3, street.pavement);
    // Squared, so that more people are near, where they are large enough to be visible.
    const z = (crossing ? 7 : 4) + 38 * draws.next() * draws.next();
    drawPerson(canvas, draws, setting, x, z);
    if (draws.chance(0.35)) drawPerson(canvas, draws, setting, x + draws.range(0.5, 0.8), z + draws.range(-0.2, 0.4));
  }
}

/** A figure 1 unit tall, scaled: head, trunk, arms, legs in stride, some with a bag or a long coat. */
function drawPerson(canvas: Canvas, draws: Draws, { light }: Setting, x: number, z: number): void {
  const tall = draws.range(1.25, 1.92);
  const top = draws.pick(CLOTHES);
  const legs = draws.pick(CLOTHES);
  const skin = draws.pick(SKINS);
  const hair = draws.pick<Color>([
    [34, 28, 24],
    [92, 66, 40],
    [176, 150, 96],
    [120, 118, 114],
  ]);
  const stride = draws.range(0.02, 0.12);
  const coat = draws.chance(0.3) ? 0.3 : 0.47;
  const bag = draws.chance(0.3) ? draws.pick([-1, 1]) : 0;
  const lit = facingGain(light, 0);
  darken(canvas, [x - 0.35, x + 0.35], [z - 0.15, z + 0.25], 0.6, () => true);
  canvas.wall([x - 0.32 * tall, z], [x + 0.32 * tall, z], 0, tall, (s, y) => {
    const across = s / tall - 0.32;
    const up = y / tall;
    const side = Math.abs(across);
    const gain = lit * (light.sun === 0 ? 1 : 0.9 + 0.8 * across * light.sun);
    if (up > 0.86) {
      const d = (across * across) / 0.0038 + ((up - 0.925) * (up - 0.925)) / 0.0056;
      if (d > 1) return HOLE;
      canvas.brush(up > 0.95 ? hair : skin, gain);
    } else if (up > coat) {
      const shoulder = up > 0.8 ? 0.13 - (up - 0.8) * 1.2 : 0.13;
      if (bag !== 0 && up < 0.7 && across * bag > 0.1 && across * bag < 0.19) canvas.brush(hair, gain * 0.9);
      else if (side < shoulder) canvas.brush(top, gain * (side > 0.088 ? 0.78 : 1));
      else return HOLE;
    } else {
      const spread = ((0.47 - up) / 0.47) * stride;
      if (Math.abs(side - 0.045 - spread) > 0.042) return HOLE;
      canvas.brush(legs, gain * (up < 0.05 ? 0.4 : 0.9));
    }
    return PEDESTRIAN;
  });
}
