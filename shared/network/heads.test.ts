import { tf } from "../engine/tf";
import type { Genotype } from "../proto/lathe/v1/space";
import type { Head, HeadWidth } from "../space/head";
import { PYRAMID_BINS } from "../space/networkCosts";
import { noise, randomBuffer } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { unpack } from "../engine/parameters";
import { buildDiscrete } from "./discrete";
import { headLogits } from "./heads";
import { EPSILON, inferenceNorm } from "./layers";

/** Values of one image by channel, row and column, in float64. */
type Map = number[][][];

const [HEIGHT, WIDTH, CLASSES] = [32, 64, 3];
const head: Head = { kind: "aggregation", pyramidChannels: 2, dropout: 0 };

/** A network with outputs of the given channels, the last block's of each stage, and with these widths of its head. */
const networkOf = (outputs: readonly number[], widths: Pick<Genotype, HeadWidth["field"]>) => {
  const genotype: Genotype = {
    ...{ inputHeight: HEIGHT, inputWidth: WIDTH, classes: CLASSES, stemChannels: 4 },
    stages: outputs.map((outputWidth, s) => ({
      channels: 8 + 4 * s,
      blocks: [{ dilation: 1, scale: 1, middleWidth: 4, outputWidth }],
    })),
    ...widths,
  };
  return buildDiscrete(genotype, head);
};

/** The aggregation head by docs/method.md#the-network, pixel by pixel. features: the stem's output and those of the stages. */
function byPixel(
  values: Record<string, tf.Tensor>,
  stats: Record<string, tf.Tensor>,
  stem: Map,
  stages: readonly Map[],
): Map {
  const tensor = (name: string) => Array.from((values[name] ?? stats[name])!.dataSync());
  const size = (x: Map): [number, number] => [x[0]!.length, x[0]![0]!.length];
  const make = (
    channels: number,
    rows: number,
    columns: number,
    value: (c: number, r: number, k: number) => number,
  ): Map =>
    Array.from({ length: channels }, (_, c) =>
      Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, k) => value(c, r, k))),
    );
  const convolution = (name: string, x: Map, side: number): Map => {
    const filter = tensor(name);
    const [rows, columns] = size(x);
    const [inputs, edge] = [x.length, (side - 1) / 2];
    return make(filter.length / (inputs * side * side), rows, columns, (o, r, k) => {
      let sum = 0;
      for (let i = 0; i < inputs; i++)
        for (let a = 0; a < side; a++)
          for (let b = 0; b < side; b++)
            sum += filter[((o * inputs + i) * side + a) * side + b]! * (x[i]![r + a - edge]?.[k + b - edge] ?? 0);
      return sum;
    });
  };
  const norm = (name: string, x: Map): Map => {
    const [gamma, beta, mean, variance] = ["gamma", "beta", "mean", "variance"].map((kind) =>
      tensor(`${name}/${kind}`),
    );
    return x.map((plane, c) =>
      plane.map((row) =>
        row.map((v) => ((v - mean![c]!) / Math.sqrt(variance![c]! + EPSILON)) * gamma![c]! + beta![c]!),
      ),
    );
  };
  const relu = (x: Map): Map => x.map((plane) => plane.map((row) => row.map((v) => Math.max(0, v))));
  const unit = (name: string, x: Map, side = 1): Map =>
    relu(norm(`head/${name}/norm`, convolution(`head/${name}/conv`, x, side)));
  const pooled = (x: Map, bins: number): Map => {
    const [rows, columns] = size(x);
    const range = (bin: number, of: number): [number, number] => [
      Math.floor((bin * of) / bins),
      Math.ceil(((bin + 1) * of) / bins),
    ];
    return make(x.length, bins, bins, (c, r, k) => {
      const [top, bottom] = range(r, rows);
      const [left, right] = range(k, columns);
      const cells = x[c]!.slice(top, bottom).flatMap((row) => row.slice(left, right));
      return cells.reduce((sum, v) => sum + v, 0) / cells.length;
    });
  };
  const resized = (x: Map, rows: number, columns: number): Map => {
    const [height, width] = size(x);
    const place = (at: number, to: number, from: number) => {
      const position = to > 1 ? (at * (from - 1)) / (to - 1) : 0;
      const lower = Math.min(Math.floor(position), Math.max(0, from - 2));
      return { lower, upper: Math.min(lower + 1, from - 1), share: position - lower };
    };
    return make(x.length, rows, columns, (c, r, k) => {
      const [y, z] = [place(r, rows, height), place(k, columns, width)];
      const row = (at: number) => x[c]![at]![z.lower]! * (1 - z.share) + x[c]![at]![z.upper]! * z.share;
      return row(y.lower) * (1 - y.share) + row(y.upper) * y.share;
    });
  };
  const last = stages.at(-1)!;
  const bins = PYRAMID_BINS.filter((count) => values[`head/pyramid${count}/conv`]);
  const pyramid = bins.flatMap((bins) => resized(unit(`pyramid${bins}`, pooled(last, bins)), ...size(last)));
  let context = unit("context", [...last, ...pyramid]);
  for (let s = stages.length - 2; s > 0; s--) {
    const added = norm(`head/join${s + 1}/norm`, convolution(`head/join${s + 1}/conv`, stages[s]!, 1));
    const enlarged = resized(context, ...size(added));
    context = relu(added.map((plane, c) => plane.map((row, r) => row.map((v, k) => v + enlarged[c]![r]![k]!))));
  }
  const [low] = stages;
  const [rows, columns] = size(low!);
  const halved = make(stem.length, rows, columns, (c, r, k) => {
    const at = (a: number, b: number) => stem[c]![2 * r + a]![2 * k + b]!;
    return (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4;
  });
  const detail = unit("detail", [...low!, ...halved], 3);
  const fusion = unit("fusion", [...resized(context, rows, columns), ...detail]);
  const bias = tensor("head/classifier/bias");
  const logits = convolution("head/classifier/conv", fusion, 1);
  return resized(
    logits.map((plane, c) => plane.map((row) => row.map((v) => v + bias[c]!))),
    HEIGHT,
    WIDTH,
  );
}

it.each([
  [[5, 9], {}, 5],
  [[5, 9, 10], {}, 5],
  [[5, 9, 10, 14], {}, 5],
  [[5, 9, 10], { joinedWidth: 7, pyramidWidth: 1 }, 5],
  [[5, 9, 10], { joinedWidth: 3, pyramidWidth: 0 }, 0],
  [[5, 9], { detailWidth: 2 }, 5],
])(
  "the aggregation head of stages of %j, with widths %j, joins them as the method says, pixel by pixel",
  (widths, own, branches) => {
    const network = networkOf(widths, own);
    expect(network.weights.entries.filter(({ name }) => /pyramid.*conv$/.test(name))).toHaveLength(branches);
    const random = uniform(5);
    const [weights, stats] = [network.weights, network.stats].map((table) => randomBuffer(table, random));
    const maps = [4, ...widths].map((channels, level): [number, number, number] => [
      ...([channels, HEIGHT / 2 ** (level + 1), WIDTH / 2 ** (level + 1)] as const),
    ]);
    const features = maps.map((shape) => tf.tensor(noise(shape[0] * shape[1] * shape[2], random), [1, ...shape]));
    tf.tidy(() => {
      const [values, statistics] = [
        unpack(tf.tensor1d(weights!), network.weights),
        unpack(tf.tensor1d(stats!), network.stats),
      ];
      const [stem, ...outputs] = features as [tf.Tensor, ...tf.Tensor[]];
      const got = headLogits(head, values, { stem, outputs }, inferenceNorm(statistics));
      const [first, ...rest] = features.map((x) => (x.arraySync() as Map[])[0]!);
      const want = byPixel(values, statistics, first!, rest);
      const flat = want.flat(2);
      const largest = Math.max(...flat.map(Math.abs));
      expect(Math.max(...flat.map((value, i) => Math.abs(value - got.dataSync()[i]!))) / largest).toBeLessThan(1e-5);
      expect(largest).toBeGreaterThan(0.1);
    });
  },
);
