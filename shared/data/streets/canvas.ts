import { HOLE } from "./classes";

export type Color = readonly [number, number, number];

/** Pinhole camera above the ground plane y = 0: x right, y up, z forward, metres. Bend shifts the world sideways by bend * z^2. */
export interface Camera {
  readonly focal: number;
  readonly centreX: number;
  readonly horizon: number;
  readonly height: number;
  readonly x: number;
  readonly bend: number;
}

/** Colour, class and distance of every pixel. A shader sets the brush (r, g, b) before it returns a class. */
export class Canvas {
  readonly color: Float32Array;
  readonly label: Uint8Array;
  readonly distance: Float32Array;
  r = 0;
  g = 0;
  b = 0;

  constructor(
    readonly height: number,
    readonly width: number,
    readonly camera: Camera,
  ) {
    this.color = new Float32Array(height * width * 3);
    this.label = new Uint8Array(height * width);
    this.distance = new Float32Array(height * width).fill(1e9);
  }

  brush(color: Color, gain: number): void {
    this.r = color[0] * gain;
    this.g = color[1] * gain;
    this.b = color[2] * gain;
  }

  /** Sets the brush. */
  put(at: number, label: number, z: number): void {
    this.color[3 * at] = this.r;
    this.color[3 * at + 1] = this.g;
    this.color[3 * at + 2] = this.b;
    this.label[at] = label;
    this.distance[at] = z;
  }

  column(x: number, z: number): number {
    const { centreX, focal, bend } = this.camera;
    return centreX + (focal * (x - this.camera.x + bend * z * z)) / z;
  }

  row(y: number, z: number): number {
    return this.camera.horizon + (this.camera.focal * (this.camera.height - y)) / z;
  }

  /** Visits the ground pixels of the rectangle [x0,x1] x [z0,z1] with their position in metres. */
  ground(x0: number, x1: number, z0: number, z1: number, visit: (at: number, x: number, z: number) => void): void {
    const { focal, horizon, centreX, bend } = this.camera;
    const first = Math.max(Math.floor(horizon) + 1, Math.ceil(this.row(0, z1) - 0.5));
    const last = Math.min(this.height - 1, Math.floor(this.row(0, Math.max(z0, 0.5)) - 0.5));
    for (let v = first; v <= last; v++) {
      const z = (focal * this.camera.height) / (v + 0.5 - horizon);
      const shift = this.camera.x - bend * z * z;
      const from = Math.max(0, Math.ceil(this.column(x0, z) - 0.5));
      const to = Math.min(this.width - 1, Math.floor(this.column(x1, z) - 0.5));
      for (let u = from; u <= to; u++) visit(v * this.width + u, ((u + 0.5 - centreX) * z) / focal + shift, z);
    }
  }

  /**
   * Draws an upright rectangle from ground point (x0,z0) to (x1,z1), between heights y0 and y1. The shader gets the metres along the
   * wall and the height; it sets the brush and returns a class or HOLE. 1/z is linear along the screen.
   */
  wall(
    [x0, z0]: readonly [number, number],
    [x1, z1]: readonly [number, number],
    y0: number,
    y1: number,
    shade: (s: number, y: number) => number,
  ): void {
    const near = 0.6;
    if (z0 < near && z1 < near) return;
    const dx = x1 - x0;
    const dz = z1 - z0;
    const length = Math.sqrt(dx * dx + dz * dz);
    const from = z0 < near ? (near - z0) / dz : 0;
    const to = z1 < near ? (near - z0) / dz : 1;
    let a = { u: this.column(x0 + dx * from, z0 + dz * from), iz: 1 / (z0 + dz * from), s: length * from };
    let b = { u: this.column(x0 + dx * to, z0 + dz * to), iz: 1 / (z0 + dz * to), s: length * to };
    if (a.u > b.u) [a, b] = [b, a];
    let first = Math.ceil(a.u - 0.5);
    let last = Math.floor(b.u - 0.5);
    if (last < first) first = last = Math.floor((a.u + b.u) / 2); // thinner than a pixel: one column, so that far poles stay
    const span = Math.max(b.u - a.u, 1e-6);
    for (let u = Math.max(0, first); u <= last && u < this.width; u++) {
      const t = Math.min(1, Math.max(0, (u + 0.5 - a.u) / span));
      const iz = a.iz + (b.iz - a.iz) * t;
      const s = (a.s * a.iz + (b.s * b.iz - a.s * a.iz) * t) / iz;
      this.strip(u, s, 1 / iz, y0, y1, shade);
    }
  }

  private strip(
    u: number,
    s: number,
    z: number,
    y0: number,
    y1: number,
    shade: (s: number, y: number) => number,
  ): void {
    const { horizon, height, focal } = this.camera;
    const first = Math.max(0, Math.ceil(this.row(y1, z) - 0.5));
    const last = Math.min(this.height - 1, Math.floor(this.row(y0, z) - 0.5));
    for (let v = first; v <= last; v++) {
      const at = v * this.width + u;
      if (this.distance[at]! <= z) continue;
      const label = shade(s, height - ((v + 0.5 - horizon) * z) / focal);
      if (label !== HOLE) this.put(at, label, z);
    }
  }
}
