import type { Camera, Color } from "./canvas";
import type { Draws } from "./draws";

/** Light of a scene: gains of surfaces by their direction. sun: -1 from the left, 1 from the right, 0 behind clouds. */
export interface Light {
  readonly sun: -1 | 0 | 1;
  /** Gain in the shade, 1 in the sun. */
  readonly shade: number;
  readonly exposure: number;
  readonly tint: Color;
  readonly haze: Color;
  /** Distance in metres at which half of the light is haze. */
  readonly hazeDistance: number;
  /** Length of a shadow per metre of height. */
  readonly shadowLength: number;
}

/** The street's cross-section, metres from its axis (half widths), and how full it is. */
interface Street {
  readonly road: number;
  readonly verge: number;
  readonly pavement: number;
  readonly facade: number;
  readonly lanes: number;
  readonly traffic: number;
  readonly crowd: number;
  readonly green: number;
  /** 0 village, 1 city: height and closeness of houses. */
  readonly density: number;
}

export interface Setting {
  readonly camera: Camera;
  readonly light: Light;
  readonly street: Street;
}

/** Draws camera, light and street of a scene for a picture of height x width pixels. */
export function drawSetting(draws: Draws, height: number, width: number): Setting {
  const street = drawStreet(draws);
  const camera: Camera = {
    focal: Math.max(width * draws.range(0.62, 0.95), height * 0.9),
    centreX: width * draws.range(0.36, 0.64),
    horizon: height * draws.range(0.36, 0.54),
    height: draws.range(1.2, 2.1),
    x: draws.range(0.1, 0.6) * street.road,
    bend: draws.chance(0.4) ? draws.range(-0.0022, 0.0022) : 0,
  };
  return { camera, light: drawLight(draws), street };
}

function drawStreet(draws: Draws): Street {
  const road = draws.range(3.2, 6.5);
  const verge = road + (draws.chance(0.4) ? draws.range(0.8, 2.2) : 0);
  const pavement = verge + draws.range(1.4, 3.5);
  return {
    road,
    verge,
    pavement,
    facade: pavement + (draws.chance(0.6) ? draws.range(1.5, 7) : 0),
    lanes: road > 5 && draws.chance(0.5) ? 4 : 2,
    traffic: draws.range(0.15, 1),
    crowd: draws.range(0.15, 1),
    green: draws.range(0.1, 1),
    density: draws.next(),
  };
}

/** Time of day: noon, overcast, low sun, dusk. Each moves exposure and tint, so that no colour belongs to one class. */
function drawLight(draws: Draws): Light {
  const kind = draws.pick(["noon", "noon", "overcast", "overcast", "low", "dusk"] as const);
  const clear = kind === "noon" || kind === "low";
  const warm = kind === "low" ? 0.16 : kind === "dusk" ? draws.range(-0.12, 0.14) : draws.range(-0.05, 0.05);
  const dusk = kind === "dusk" ? 0.55 : 1;
  const grey = draws.range(150, 225) * dusk;
  return {
    sun: clear ? (draws.chance(0.5) ? 1 : -1) : 0,
    shade: clear ? draws.range(0.42, 0.65) : draws.range(0.78, 0.92),
    exposure: dusk * draws.range(0.75, 1.2),
    tint: [1 + warm, 1, 1 - warm],
    haze: [grey * (1 + warm), grey, grey * (1 - warm * 0.6)],
    hazeDistance: draws.range(120, 900),
    shadowLength: kind === "low" ? draws.range(1.4, 2.6) : draws.range(0.35, 1),
  };
}

/** Gain of an upright surface that faces left (-1), right (1) or the camera (0). */
export function facingGain(light: Light, facing: -1 | 0 | 1): number {
  if (light.sun === 0) return facing === 0 ? 0.95 : 0.88;
  if (facing === 0) return (1 + light.shade) / 2;
  return facing === light.sun ? 1.05 : light.shade;
}
