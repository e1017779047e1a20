import { manifest, pack, pick, unpack, view } from "./parameters";
import { createRandom } from "./random";
import { elementCount } from "./signature";
import { tf } from "./tf";

const layout = manifest([
  { name: "w", shape: [2, 3] },
  { name: "s", shape: [] },
  { name: "b", shape: [4] },
]);
const buffer = Float32Array.from({ length: 11 }, (_, i) => i);

describe("manifest", () => {
  it("lays tensors out one after the other", () => {
    expect(layout.entries.map(({ offset }) => offset)).toEqual([0, 6, 7]);
    expect(layout.size).toBe(11);
    expect(() => manifest([{ name: "w", shape: [1] }, { name: "w", shape: [2] }])).toThrow(/"w" is declared twice/); // prettier-ignore
  });

  it("views share the buffer's memory", () => {
    const copy = buffer.slice();
    view(copy, layout, "b")[1] = 99;
    expect(copy[8]).toBe(99);
    expect(() => view(copy, layout, "q")).toThrow(/"q" is not in the manifest/);
  });

  it("pack inverts unpack, and its derivative is the identity", () => {
    const tensors = unpack(tf.tensor1d(buffer), layout);
    expect(tensors.w?.arraySync()).toEqual([[0, 1, 2], [3, 4, 5]]); // prettier-ignore
    expect([...pack(tensors, layout).dataSync()]).toEqual([...buffer]);
    const derivative = tf.grad((flat) =>
      tf.sum(tf.mul(pack(unpack(flat as tf.Tensor1D, layout), layout), tf.tensor1d(buffer))),
    )(tf.tensor1d(buffer));
    expect([...derivative.dataSync()]).toEqual([...buffer]);
  });

  it("rejects vectors and tensors of wrong size", () => {
    expect(() => unpack(tf.zeros([10]), layout)).toThrow(/10 elements, its manifest 11/);
    const tensors = unpack(tf.tensor1d(buffer), layout);
    expect(() => pack({ ...tensors, b: tf.zeros([3]) }, layout)).toThrow(/"b" has shape \[3\], must be \[4\]/);
    expect(() => pack({}, layout)).toThrow(/"w" has shape \[missing\]/);
  });
});

describe("pick", () => {
  const random = createRandom(1, "gather");
  const trials = Array.from({ length: 40 }, () => {
    const shape = Array.from({ length: 1 + random.integer(4) }, () => 1 + random.integer(5));
    const picks = shape.map((size) =>
      random.integer(3) === 0
        ? Array.from({ length: size }, (_, i) => i)
        : Array.from({ length: 1 + random.integer(size) }, () => random.integer(size)),
    );
    return { shape, picks };
  });

  it.each(trials)("of $picks from $shape equals gathers by TF.js along each axis", ({ shape, picks }) => {
    const source = Float32Array.from({ length: elementCount(shape) }, () => random.normal());
    let want: tf.Tensor = tf.tensor(source, shape);
    picks.forEach((list, axis) => (want = tf.gather(want, tf.tensor1d(list, "int32"), axis)));
    expect([...pick(source, shape, picks)]).toEqual([...want.dataSync()]);
  });

  it("rejects an index out of range and a missing axis", () => {
    const values = new Float32Array(6);
    expect(() => pick(values, [2, 3], [[2], [0]])).toThrow("pick of [2; 0] from a tensor of shape [2,3]");
    expect(() => pick(values, [2, 3], [[1]])).toThrow("pick of [1] from a tensor of shape [2,3]");
  });
});
