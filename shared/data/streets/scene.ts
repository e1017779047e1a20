import type { Example } from "../dataset";
import type { Size } from "../images";
import { drawBuildings } from "./buildings";
import { Canvas } from "./canvas";
import { Draws } from "./draws";
import { develop } from "./finish";
import { drawFurniture } from "./furniture";
import { drawGround } from "./ground";
import { drawPedestrians } from "./pedestrians";
import { drawSetting } from "./setting";
import { drawBackdrop } from "./sky";
import { drawVegetation } from "./vegetation";
import { drawVehicles } from "./vehicles";

const SUPERSAMPLED_PIXELS = 128 * 256; // up to this size thin things would flicker; above, one sample a pixel will do

/**
 * Draws scene number `index` of a split. It is a pure function with the same bytes on every machine. Distance decides which object hides
 * which, so the order of the calls only determines the order of random draws.
 */
export function drawScene(size: Size, seed: number, split: "train" | "validation", index: number): Example {
  const draws = Draws.ofScene(seed, split, index);
  const factor = size.height * size.width <= SUPERSAMPLED_PIXELS ? 2 : 1;
  const [height, width] = [size.height * factor, size.width * factor];
  const setting = drawSetting(draws, height, width);
  const canvas = new Canvas(height, width, setting.camera);
  drawGround(canvas, draws, setting);
  drawBackdrop(canvas, draws, setting);
  drawBuildings(canvas, draws, setting);
  drawVegetation(canvas, draws, setting);
  drawVehicles(canvas, draws, setting);
  drawPedestrians(canvas, draws, setting);
  drawFurniture(canvas, draws, setting);
  return develop(canvas, draws, setting.light, size);
}
