import { crossEntropy } from "../engine/ops/crossEntropy";
import { unpack, view } from "../engine/parameters";
import { relativeDifference } from "../testing/parity";
import { tf } from "../engine/tf";
import { OperationKind, type SearchSpace } from "../proto/lathe/v1/space";
import { initialArchitecture, operations } from "../space/groups";
import { KINDS, kindOf } from "../space/kinds/kinds";
import { noise, randomBuffer, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { EPSILON, named, trainingNorm, type Tensors } from "./layers";
import { buildSupernet } from "./supernet";

/**
 * The supernet by the equations of docs/method.md, without any of the identities of docs/method.md#identities: NHWC, TF.js's own ops, every
 * candidate computed separately, op(x) + x, masks multiplied into feature maps, each branch upsampled, depths mixed.
 */
function plainLogits(
  space: SearchSpace,
  weights: Tensors,
  alphas: Tensors,
  images: tf.Tensor,
  dropouts: Tensors,
): tf.Tensor {
  const w = (name: string) => named(weights, name);
  const norm = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => {
    const mean = tf.mean(x, [0, 1, 2], true);
    const centred = tf.sub(x, mean);
    const variance = tf.mean(tf.square(centred), [0, 1, 2], true);
    return tf.add(tf.mul(tf.div(centred, tf.sqrt(tf.add(variance, EPSILON))), gamma), beta);
  };
  const reduction = (name: string, x: tf.Tensor, present?: tf.Tensor) => {
    const padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]) as tf.Tensor4D; // prettier-ignore
    const filter = tf.transpose(w(`${name}/conv`), [2, 3, 1, 0]);
    const convolved = norm(
      tf.conv2d(padded, filter as tf.Tensor4D, 2, "valid"),
      tf.slice(w(`${name}/norm/gamma`), [0], [filter.shape[3] as number]),
      tf.slice(w(`${name}/norm/beta`), [0], [filter.shape[3] as number]),
    );
    const behind = [filter.shape[3] as number];
    const pooled = norm(
      tf.maxPool(x as tf.Tensor4D, 2, 2, "valid"),
      tf.slice(w(`${name}/norm/gamma`), behind),
      tf.slice(w(`${name}/norm/beta`), behind),
    );
    return tf.relu(tf.concat([convolved, present ? tf.mul(pooled, present) : pooled], 3));
  };
  /** x as each tap of a filter sees it, with the tap's weights [outputs, inputs]. */
  const tapsOf = (x: tf.Tensor, filter: tf.Tensor, d: number) => {
    const [rows, columns] = filter.shape.slice(2) as [number, number];
    const [top, left] = [(d * (rows - 1)) / 2, (d * (columns - 1)) / 2];
    const padded = tf.pad(x, [[0, 0], [top, top], [left, left], [0, 0]]); // prettier-ignore
    return Array.from({ length: rows * columns }, (_, tap) => {
      const [row, column] = [Math.floor(tap / columns), tap % columns];
      const weights = tf.squeeze(tf.slice(filter, [0, 0, row, column], [-1, -1, 1, 1]), [2, 3]);
      return { seen: tf.slice(padded, [0, row * d, column * d, 0], x.shape), weights };
    });
  };
  /** Each tap is a matrix product over channels. */
  const convolution = (x: tf.Tensor, filter: tf.Tensor, d: number) => {
    const [n, h, width, c] = x.shape as [number, number, number, number];
    const products = tapsOf(x, filter, d).map(({ seen, weights }) =>
      tf.reshape(tf.matMul(tf.reshape(seen, [-1, c]), weights, false, true), [n, h, width, filter.shape[0]]),
    );
    return tf.addN(products);
  };
  const depthwise = (x: tf.Tensor, filter: tf.Tensor, d: number) =>
    tf.addN(tapsOf(x, filter, d).map(({ seen, weights }) => tf.mul(seen, tf.squeeze(weights, [1]))));
  /** Bilinear resizing with aligned corners, one axis at a time: TF.js's own derivative swaps height and width. */
  const interpolate = (x: tf.Tensor, to: number, axis: 1 | 2) => {
    const last = (x.shape[axis] as number) - 1;
    const line = (at: number) =>
      tf.slice(
        x,
        x.shape.map((_, a) => (a === axis ? at : 0)),
        x.shape.map((size, a) => (a === axis ? 1 : size)),
      );
    const rows = Array.from({ length: to }, (_, i) => {
      const position = (i * last) / (to - 1);
      const lower = Math.min(Math.floor(position), last - 1);
      return tf.add(tf.mul(line(lower), lower + 1 - position), tf.mul(line(lower + 1), position - lower));
    });
    return tf.concat(rows, axis);
  };
  const chances = (values: tf.Tensor) => {
    const sigmoids = tf.sigmoid(values);
    return tf.div(sigmoids, tf.sum(sigmoids));
  };
  const one = (p: tf.Tensor, index: number) => tf.squeeze(tf.slice(p, [index], [1]));
  const mask = (group: tf.Tensor, widths: number[], channels: number) => {
    const p = chances(group);
    return tf.addN(
      widths.map((width, j) =>
        tf.mul(one(p, j), tf.tensor1d(Array.from({ length: channels }, (_, channel) => (channel < width ? 1 : 0)))),
      ),
    );
  };

  /** Channels of the middle per channel of its width. */
  const expansionOf = (kind?: OperationKind) => (kind === OperationKind.OPERATION_KIND_INVERTED ? 2 : 1);
  const total = (values: number[]) => values.reduce((sum, value) => sum + value, 0);

  let x = reduction("stem", tf.transpose(images, [0, 2, 3, 1]));
  let present: tf.Tensor | undefined;
  const outputs = space.stages.map(({ channels, widths, minDepth, maxDepth }, index) => {
    const stage = `stage${index + 1}`;
    x = reduction(`${stage}/reduction`, x, present);
    const exits: { output: tf.Tensor; present: tf.Tensor }[] = [];
    for (let b = 1; b <= maxDepth; b++) {
      const name = `${stage}/block${b}`;
      const p = chances(named(alphas, `${name}/operation`));
      const [n, h, width] = x.shape as [number, number, number];
      const terms: tf.Tensor[] = [];
      const masks: tf.Tensor[] = [];
      const all = operations(space);
      const before = (at: number) => all.slice(0, at).map((operation) => expansionOf(operation.kind));
      all.forEach(({ name: operation, kind, dilation, scale }, o) => {
        const at = o % (all.length / space.scales.length);
        const expansion = expansionOf(kind);
        const alpha = (kind: string) => tf.squeeze(tf.slice(named(alphas, `${name}/${kind}`), [o], [1]), [0]);
        // Filters have a name of their own; the norms of one scale are concatenated.
        const filter = (layer: string) => named(weights, `${name}/${operation}/${layer}`) as tf.Tensor4D;
        const half = (side: 1 | 2, input: tf.Tensor) => {
          const { depthwise: spread } = side === 1 ? kindOf({ kind }).first : kindOf({ kind }).second;
          const moved = spread ? depthwise(input, filter(`depthwise${side}`), dilation) : input;
          return convolution(moved, filter(`conv${side}`), dilation);
        };
        const of = (part: string, from: number, size: number) =>
          tf.slice(named(weights, `${name}/s${scale}/${part}`), [from], [size]);
        const norm1 = (part: string) => of(`norm1/${part}`, channels * total(before(at)), channels * expansion);
        const norm2 = (part: string) => of(`norm2/${part}`, channels * at, channels);
        const middles = widths.map((width) => width * expansion);
        const middle = mask(alpha("middle"), middles, channels * expansion);
        const output = mask(alpha("output"), widths, channels);
        let y = scale === 2 ? tf.maxPool(x as tf.Tensor4D, 2, 2, "valid") : x;
        y = half(1, y);
        y = tf.relu(tf.mul(norm(y, norm1("gamma"), norm1("beta")), middle));
        y = norm(half(2, y), norm2("gamma"), norm2("beta"));
        if (scale === 2) y = interpolate(interpolate(y, h, 1), width, 2);
        const factors = tf.slice(named(dropouts, `${name}/s${scale}/dropout`), [0, at * channels], [n, channels]);
        y = tf.add(tf.mul(y, tf.reshape(factors, [n, 1, 1, channels])), x);
        terms.push(tf.mul(one(p, o), tf.mul(output, y)));
        masks.push(tf.mul(one(p, o), output));
      });
      x = tf.relu(tf.addN(terms));
      if (b >= minDepth) exits.push({ output: x, present: tf.addN(masks) });
    }
    const depth = chances(named(alphas, `${stage}/depth`));
    x = tf.addN(exits.map(({ output }, d) => tf.mul(one(depth, d), output)));
    present = tf.addN(exits.map((exit, d) => tf.mul(one(depth, d), exit.present)));
    return x;
  });
  // The head joins the stages from the second on, at the size of the second.
  const [, rows, columns] = outputs[1]?.shape as [number, number, number];
  const joined = outputs.slice(1).map((output, i) => {
    const [n, h, width, c] = output.shape as [number, number, number, number];
    const filter = w(i + 2 === outputs.length ? "head/conv" : `head/stage${i + 2}/conv`);
    const classifier = tf.transpose(tf.reshape(filter, [space.classes, c]));
    const logits = tf.reshape(tf.matMul(tf.reshape(output, [-1, c]), classifier), [n, h, width, space.classes]);
    return i === 0 ? logits : interpolate(interpolate(logits, rows, 1), columns, 2);
  });
  return tf.transpose(tf.add(tf.addN(joined), w("head/bias")), [0, 3, 1, 2]);
}

/** A supernet with random weights and inputs. */
function subject(space: SearchSpace) {
  const supernet = buildSupernet(space, initialArchitecture(space));
  const random = uniform(7);
  const BATCH = 2;
  const weights = randomBuffer(supernet.weights, random);
  // Alive everywhere: where a whole window is dead, a norm behind the pool makes ties of it that are above 0, and the derivative
  // of a maximum at a tie is a convention.
  for (const name of ["stem", ...space.stages.map((_, index) => `stage${index + 1}/reduction`)])
    view(weights, supernet.weights, `${name}/norm/beta`).forEach((value, c, beta) => (beta[c] = value + 2));
  const alphas = noise(supernet.alphas.size, random).map((value) => 2 * value);
  const images = tf.tensor(noise(BATCH * 3 * 32 * 64, random).map(Math.abs), [BATCH, 3, 32, 64]);
  const labels = tf.tensor(
    Array.from({ length: BATCH * 4 * 8 }, () => (random() < 0.1 ? 255 : Math.floor(random() * space.classes))),
    [BATCH, 4, 8],
    "int32",
  );
  const classWeights = tf.tensor1d([1, 3, 2, 5, 4]);
  const dropouts: Tensors = Object.fromEntries(
    supernet.dropouts.map(({ name, channels, probability }) => [
      name,
      tf.tensor(
        Array.from({ length: BATCH * channels }, () => (random() < probability ? 0 : 1 / (1 - probability))),
        [BATCH, channels, 1, 1],
      ),
    ]),
  );
  return { space, supernet, weights, alphas, images, labels, classWeights, dropouts };
}

function lossAndGradients(
  { supernet, weights, alphas, labels, classWeights }: ReturnType<typeof subject>,
  logits: (weights: Tensors, alphas: tf.Tensor1D) => tf.Tensor,
) {
  const loss = (w: tf.Tensor, a: tf.Tensor) =>
    crossEntropy(logits(unpack(w as tf.Tensor1D, supernet.weights), a as tf.Tensor1D), labels, classWeights);
  return tf.tidy(() => {
    const { value, grads } = tf.valueAndGrads(loss)([tf.tensor1d(weights), tf.tensor1d(alphas)]);
    const [w, a] = grads.map((grad) => grad.dataSync<"float32">().slice()) as [Float32Array, Float32Array];
    return { loss: value.dataSync<"float32">()[0] ?? NaN, weights: w, alphas: a };
  });
}

const third = { channels: 16, minDepth: 1, maxDepth: 2, widths: [8, 16], dropout: 0.2 };

it.each([
  ["the paper's operations", smallSpace()],
  ["operations of every kind", smallSpace({ kinds: KINDS.map(({ kind }) => kind) })],
  ["three stages", smallSpace({ scales: [1], stages: [...smallSpace().stages, third] })],
])("the supernet's identities change neither the loss nor the gradients of the plain formulation, with %s", (_, of) => {
  const given = subject(of);
  const { space, supernet, images, dropouts } = given;
  const norm = trainingNorm(() => undefined);
  const got = lossAndGradients(given, (w, a) => supernet.logits(w, supernet.relax(a), images, norm, dropouts));
  const want = lossAndGradients(given, (w, a) => plainLogits(space, w, unpack(a, supernet.alphas), images, dropouts));
  expect(Math.abs(got.loss - want.loss) / want.loss).toBeLessThan(1e-5);
  for (const role of ["weights", "alphas"] as const) {
    for (const { name } of supernet[role].entries) {
      const reference = view(want[role], supernet[role], name);
      // A gradient of zeros would prove nothing.
      expect(reference.some((value) => Math.abs(value) > 1e-6) ? "moves" : name).toBe("moves");
      const difference = relativeDifference(view(got[role], supernet[role], name), reference);
      expect(difference < 1e-4 ? "agrees" : `${name} differs by ${difference}`).toBe("agrees");
    }
  }
});
