import { binary, cast, concat, reshape, slice, step } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { affine, channelMeans, channelsOf, sum, withChannels } from "../emit";
import { poolGradient } from "../maxPool";
import { normGradient, rootInverse } from "../norm";
import { convolve } from "./convolve";
import { dropping } from "./dropout";
import { emitResize, layerInput, type Activations, type MixtureInputs } from "./forward";
import { tileScales, transposedFilters } from "./filters";
import { channelFilterGradient, channelFilters, convolveChannels, reversedFilters } from "./depthwise";
import { depthwises, imageShape, rowsShape, type Branch, type MixturePlan } from "./plan";
import { emitFilterGradient } from "./weightGradient";

/**
 * Derivatives of a mixture with respect to all its inputs. For a norm with moments m, v and r = 1/sqrt(v + e) after a convolution h:
 * dh = gamma*r * u with u = dy + a*h + c, a = -r*dg, c = r*dg*m - db, and db = mean dy, dg = r*(mean dy*h - m*db). The factor
 * gamma*r is multiplied into the filter of the convolution, so that u needs one pass.
 */
export function emitGradient(
  r: Recorder,
  plan: MixturePlan,
  inputs: Omit<MixtureInputs, "beta1" | "beta2">,
  saved: Activations & { y: Value },
  dy: Value,
): Omit<MixtureInputs, "dropout"> {
  const { branches, batch, height, width, outputs } = plan;
  const rows = (value: Value) => reshape(r, value, rowsShape(plan, 1, channelsOf(value)));
  const [whole, y, dOut] = [rows(inputs.x), rows(saved.y), rows(dy)];
  const positions = height * batch * width;
  const middles = branches.map(({ middle }) => middle);
  const widths = branches.map(({ output }) => output);
  const root1 = rootInverse(r, saved.variance1, plan.epsilon);
  const root2 = rootInverse(r, saved.variance2, plan.epsilon);
  const scale1 = binary(r, "Mul", inputs.gamma1, root1);
  const scale2 = binary(r, "Mul", inputs.gamma2, root2);

  const dz = binary(r, "Mul", dOut, step(r, y));
  const dz2 = saved.pooled ? r.within("Resize", () => emitResize(r, dz, plan, "down")) : dz;
  const of = <T>(branch: Branch, full: T, half: T): T => (branch.scale === 2 ? half : full);
  const drop = inputs.dropout && dropping(r, plan, inputs.dropout);
  const upper = branches.map((branch, at) => {
    const own = withChannels(r, of(branch, dz, dz2), branch.output);
    return drop ? drop(own, at) : own;
  });
  // Without dropout all branches of a scale have the same derivative behind them, as far as their channels reach.
  const shared = () => {
    const full = channelMeans(r, dz);
    const half = saved.pooled ? channelMeans(r, dz2) : full;
    return branches.map((branch) => slice(r, of(branch, full, half), [0], [0], [branch.output]));
  };
  const meanUpper = drop ? channelMeans(r, ...upper) : concat(r, shared(), 0);
  const norm2 = normGradient(r, upper, saved.last, saved.mean2, root2, widths, meanUpper);
  const u2 = saved.last.map((h, at) =>
    binary(r, "Add", affine(r, h, norm2.a[at] as Value, { shift: norm2.c[at] as Value }), upper[at] as Value),
  );

  const scales = tileScales(r, plan, scale1, scale2);
  const filters = r.within("InputGradient", () => transposedFilters(r, plan, binary(r, "Mul", inputs.filters, scales)));
  const channelwise = r.within("InputGradient", () =>
    channelFilters(r, plan, inputs.depthwise && reversedFilters(r, plan, inputs.depthwise)),
  );
  /** Derivatives of what the convolutions read, by layer and branch; of layer 1 only those behind a depthwise convolution. */
  const dSpread: Record<1 | 2, Value[]> = { 1: [], 2: [] };
  const lower = branches.map((branch, at) => {
    const filter = channelwise[2][at];
    const back = convolve(r, plan, branch, 2, u2[at] as Value, filters[2][at] as Value, branch.middle);
    dSpread[2][at] = back;
    const own = filter ? convolveChannels(r, plan, branch, back, filter) : back;
    return binary(r, "Mul", own, step(r, saved.active[at] as Value));
  });
  const norm1 = normGradient(r, lower, saved.hidden, saved.mean1, root1, middles);
  const u1 = saved.hidden.map((h, at) =>
    affine(r, h, norm1.a[at] as Value, { shift: norm1.c[at] as Value, sum: lower[at] as Value }),
  );

  const into: Record<1 | 2, Value | undefined> = {
    1: withChannels(r, reshape(r, affine(r, dz, inputs.presence), imageShape(plan, 1, outputs)), plan.inputs),
    2: undefined,
  };
  branches.forEach((branch, at) => {
    const { scale } = branch;
    const [u, filter] = [u1[at] as Value, filters[1][at] as Value];
    const own = channelwise[1][at];
    if (!own) {
      into[scale] = convolve(r, plan, branch, 1, u, filter, plan.inputs, into[scale]);
      return;
    }
    const back = convolve(r, plan, branch, 1, u, filter, plan.inputs);
    dSpread[1][at] = back;
    into[scale] = convolveChannels(r, plan, branch, back, own, into[scale]);
  });
  const x =
    saved.pooled && into[2] ? sum(r, into[1] as Value, poolGradient(r, inputs.x, saved.pooled, into[2])) : into[1];

  const samples = (sizes: readonly number[]) =>
    r.constant(
      branches.flatMap(({ scale }, at) => Array.from({ length: sizes[at] as number }, () => positions / scale ** 2)),
      [sizes.reduce((total, size) => total + size, 0)],
      "float32",
    );
  const kept = withChannels(r, whole, outputs);
  return {
    x: x as Value,
    filters: r.within("WeightGradient", () =>
      binary(r, "Mul", emitFilterGradient(r, plan, inputs.x, saved, u1, u2), scales),
    ),
    ...(inputs.depthwise && {
      depthwise: r.within("WeightGradient", () =>
        concat(
          r,
          depthwises(plan).map((each) => {
            const from = layerInput(plan, inputs.x, saved, each);
            return channelFilterGradient(r, plan, each, from, dSpread[each.layer][each.branch] as Value);
          }),
          0,
        ),
      ),
    }),
    gamma1: binary(r, "Mul", norm1.dg, samples(middles)),
    beta1: binary(r, "Mul", norm1.db, samples(middles)),
    gamma2: binary(r, "Mul", norm2.dg, samples(widths)),
    beta2: binary(r, "Mul", norm2.db, samples(widths)),
    presence: binary(r, "Mul", cast(r, channelMeans(r, binary(r, "Mul", dz, kept)), "float32"), r.scalar(positions)),
  };
}
