import type { Value } from "../graph";
import type { Recorder } from "../recorder";

/** A filter [Co,Ci,kh,kw] with its rows and its columns in reverse order. */
export function flipped(r: Recorder, w: Value): Value {
  const axes = [2, 3].filter((axis) => w.shape[axis] !== 1);
  if (axes.length === 0) return w;
  const starts = axes.map((axis) => (w.shape[axis] as number) - 1);
  // An end far below zero includes the first element.
  const ends = axes.map(() => -1000);
  const inputs = [w, ...[starts, ends, axes, axes.map(() => -1)].map((list) => r.integers(list))];
  return r.node("Slice", inputs, w.shape, w.dtype);
}
