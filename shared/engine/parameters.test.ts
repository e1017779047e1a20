import { gather, manifest, pack, unpack, view } from "./parameters";
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

  it("refuses what does not fit", () => {
    expect(() => unpack(tf.zeros([10]), layout)).toThrow(/10 elements, its manifest 11/);
    const tensors = unpack(tf.tensor1d(buffer), layout);
    expect(() => pack({ ...tensors, b: tf.zeros([3]) }, layout)).toThrow(/"b" has shape \[3\], must be \[4\]/);
    expect(() => pack({}, layout)).toThrow(/"w" has shape \[missing\]/);
  });
});

describe("gather", () => {
  const random = createRandom(1, "gather");
  const trials = Array.from({ length: 40 }, () => {
    const shape = Array.from({ length: 1 + random.integer(4) }, () => 1 + random.integer(5));
    const indices = shape.map((size) =>
      random.integer(3) === 0 ? null : Array.from({ length: 1 + random.integer(size) }, () => random.integer(size)),
    );
    return { shape, indices };
  });

  it.each(trials)("of $shape by $indices equals gathers by TF.js along each axis", ({ shape, indices }) => {
    const from = manifest([{ name: "before", shape: [3] }, { name: "t", shape }]); // prettier-ignore
    const source = Float32Array.from({ length: from.size }, () => random.normal());
    let want: tf.Tensor = tf.tensor(view(source, from, "t").slice(), shape);
    indices.forEach((list, axis) => {
      if (list !== null) want = tf.gather(want, tf.tensor1d(list, "int32"), axis);
    });
    const to = manifest([{ name: "picked", shape: want.shape }]);
    const got = gather(source, from, to, () => ({ from: "t", indices }));
    expect(got).toHaveLength(elementCount(want.shape));
    expect([...got]).toEqual([...want.dataSync()]);
  });

  it("copies whole entries under other names", () => {
    const to = manifest([{ name: "bias", shape: [4] }, { name: "scalar", shape: [] }]); // prettier-ignore
    const plan = (name: string): string => (name === "bias" ? "b" : "s");
    expect([...gather(buffer, layout, to, ({ name }) => ({ from: plan(name) }))]).toEqual([7, 8, 9, 10, 6]);
  });

  it("refuses a plan that does not give the entry's shape, or points outside", () => {
    const to = manifest([{ name: "w", shape: [1, 3] }]);
    expect(() => gather(buffer, layout, to, () => ({ from: "w" }))).toThrow(
      /gather of "w" \[1,3\] from "w" \[2,3\] picks \[2,3\]/,
    );
    expect(() => gather(buffer, layout, to, () => ({ from: "w", indices: [[2], null] }))).toThrow(
      /with an index outside/,
    );
  });
});
