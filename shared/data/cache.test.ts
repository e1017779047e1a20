import { DecodedCache } from "./cache";

describe("DecodedCache", () => {
  const of4Bytes = () => Promise.resolve(new Uint8Array(4));
  const cacheOf = (bytes: number) => new DecodedCache<Uint8Array>(bytes, ({ length }) => length);

  it("loads items that fit once, and others again", async () => {
    const cache = cacheOf(8);
    const loads: string[] = [];
    const get = (key: string) =>
      cache.get(key, () => {
        loads.push(key);
        return of4Bytes();
      });
    for (const key of ["a", "b", "c", "a", "b", "c"]) await get(key);
    expect(loads).toEqual(["a", "b", "c", "c"]);
    expect(cache.usedBytes).toBe(8);
  });

  it("loads an item once for concurrent requests", async () => {
    const cache = cacheOf(100);
    const load = jest.fn(of4Bytes);
    const [first, second] = await Promise.all([cache.get("a", load), cache.get("a", load)]);
    expect(second).toBe(first);
    expect(load).toHaveBeenCalledTimes(1);
    expect(cache.usedBytes).toBe(4);
  });

  it("loads an item again after a failure", async () => {
    const cache = cacheOf(100);
    await expect(cache.get("a", () => Promise.reject(new Error("gone")))).rejects.toThrow("gone");
    expect(await cache.get("a", of4Bytes)).toHaveLength(4);
  });
});
