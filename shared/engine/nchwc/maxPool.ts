import { binary, stepFromZero } from "../emit";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { averagePool, upsample } from "./emit";

/** Equal maxima of a window share its derivative, as in maxPool2x2. */
export function poolGradient(r: Recorder, x: Value, pooled: Value, dy: Value): Value {
  return r.within("Pool", () => {
    const largest = stepFromZero(r, binary(r, "Sub", x, upsample(r, pooled)));
    // The mean over a window: a quarter of the number of its largest elements.
    const share = averagePool(r, largest);
    const each = binary(r, "Div", binary(r, "Mul", dy, r.scalar(0.25)), share);
    return binary(r, "Mul", largest, upsample(r, each));
  });
}
