import { ExampleCache } from "./cache";

describe("ExampleCache", () => {
  it("loads once what fits and again what does not", async () => {
    const cache = new ExampleCache(8); // two examples of 4 bytes
    const loads: string[] = [];
    const get = (key: string) =>
      cache.get(key, () => {
        loads.push(key);
        return Promise.resolve({ image: new Uint8Array(3), label: new Uint8Array(1) });
      });
    for (const key of ["a", "b", "c", "a", "b", "c"]) await get(key);
    expect(loads).toEqual(["a", "b", "c", "c"]);
    expect(cache.usedBytes).toBe(8);
  });

  it("counts an example once when it was asked for twice at the same time", async () => {
    const cache = new ExampleCache(100);
    const load = () => Promise.resolve({ image: new Uint8Array(3), label: new Uint8Array(1) });
    await Promise.all([cache.get("a", load), cache.get("a", load)]);
    expect(cache.usedBytes).toBe(4);
  });
});
