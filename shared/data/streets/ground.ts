import type { Canvas, Color } from "./canvas";
import { GRASS, PAVEMENT, ROAD } from "./classes";
import { noise, type Draws } from "./draws";
import type { Setting } from "./setting";

const GREENS: readonly Color[] = [
  [88, 112, 52],
  [110, 124, 62],
  [138, 130, 82],
  [74, 96, 58],
];

/** Road with markings, patches and cracks; kerb; pavement with joints; grass verges, front gardens and parks. */
export function drawGround(canvas: Canvas, draws: Draws, { street }: Setting): void {
  const seed = draws.seed();
  const roadGrey = draws.range(66, 142);
  // Either road or pavement may be the darker one, so that brightness does not identify the class.
  const paveGrey = draws.range(76, 160);
  const paveTint = draws.pick<Color>([
    [1, 1, 1],
    [1.06, 1, 0.92],
    [1.12, 0.96, 0.88],
    [0.96, 1, 1.03],
  ]);
  const grass = draws.pick(GREENS);
  const joint = draws.range(0.5, 1.2);
  const vergeGrass = draws.chance(0.7);
  const gardens = draws.chance(0.55);
  const worn = draws.range(0.25, 1);
  const dash = draws.range(2, 4);
  const crossing = draws.chance(0.3) ? draws.range(7, 22) : -99;
  const edgeLine = draws.chance(0.4);
  const laneWidth = (2 * street.road) / street.lanes;
  const far = 400;

  const isMarked = (x: number, z: number): boolean => {
    if (Math.abs(z - crossing) < 1.5) return (x * 1.1 + 64) % 1 < 0.5;
    const side = Math.abs(x);
    if (edgeLine && Math.abs(side - street.road + 0.35) < 0.07) return true;
    const line = (x + street.road) % laneWidth;
    const onLine = Math.min(line, laneWidth - line) < 0.08 && side < street.road - 0.5;
    return onLine && z % (2.4 * dash) < dash;
  };

  canvas.ground(-far, far, 0, 1e7, (at, x, z) => {
    const side = Math.abs(x);
    const coarse = noise(x * 0.5, z * 0.35, seed);
    const fine = z < 40 ? noise(x * 5, z * 5, seed + 1) - 0.5 : 0;
    let label = PAVEMENT;
    if (side < street.road) {
      label = ROAD;
      const patch = coarse > 0.72 ? 0.82 : 1;
      const tone = roadGrey * patch * (0.88 + 0.2 * coarse + 0.16 * fine);
      canvas.r = canvas.g = tone;
      canvas.b = tone * 1.02;
      if (isMarked(x, z) && noise(x * 9, z * 3, seed + 2) < 0.35 + worn)
        canvas.brush([205, 203, 192], 0.8 + 0.2 * fine);
    } else if (side < street.road + 0.18) {
      canvas.brush(paveTint, paveGrey * 1.22);
    } else if ((side < street.verge && vergeGrass) || (side > street.pavement && gardens)) {
      label = GRASS;
      canvas.brush(grass, 0.62 + 0.5 * coarse + 0.45 * fine);
    } else {
      const seam = z < 30 && (side % joint < 0.05 || z % joint < 0.05) ? 0.8 : 1;
      canvas.brush(paveTint, paveGrey * seam * (0.86 + 0.2 * coarse + 0.12 * fine));
    }
    canvas.put(at, label, z);
  });
}

/** Darkens visible ground inside a rectangle, at the points for which `covered` is true. */
export function darken(
  canvas: Canvas,
  [x0, x1]: readonly [number, number],
  [z0, z1]: readonly [number, number],
  gain: number,
  covered: (x: number, z: number) => boolean,
): void {
  canvas.ground(x0, x1, z0, z1, (at, x, z) => {
    if (canvas.distance[at]! < 0.999 * z || !covered(x, z)) return;
    canvas.color[3 * at]! *= gain;
    canvas.color[3 * at + 1]! *= gain;
    canvas.color[3 * at + 2]! *= gain * 1.05;
  });
}
