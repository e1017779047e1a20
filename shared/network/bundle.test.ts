import { decodeBundle, encodeBundle } from "./bundle";

const bundle = {
  header: { epoch: 3, name: "ä" },
  arrays: { weights: Float32Array.of(1, -2.5, 3e-9), none: new Float32Array() },
};

describe("bundle", () => {
  it("is decoded as it was encoded", () => {
    expect(decodeBundle(encodeBundle(bundle), "it")).toEqual(bundle);
  });

  it("is decoded from bytes that are not aligned", () => {
    const bytes = encodeBundle(bundle);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(decodeBundle(shifted.subarray(1), "it").arrays.weights).toEqual(bundle.arrays.weights);
  });

  it("is decoded from a Buffer, whose slice is a view", () => {
    expect(decodeBundle(Buffer.from(encodeBundle(bundle)), "it")).toEqual(bundle);
  });

  it.each([
    ["cut short", (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 4), "runs past"],
    ["too long", (bytes: Uint8Array) => Uint8Array.of(...bytes, 0), "it has 1 bytes behind its last vector"],
    ["of another kind", (bytes: Uint8Array) => Uint8Array.of(1, 2, 3, 4, ...bytes.subarray(4)), "not LATH"],
    ["empty", () => new Uint8Array(), "0 bytes"],
  ])("refuses bytes that are %s, with their name in the message", (_, change, why) => {
    expect(() => decodeBundle(change(encodeBundle(bundle)), "checkpoint c1")).toThrow(
      new RegExp(`checkpoint c1 is not a bundle of weights: .*${why}`),
    );
  });
});
