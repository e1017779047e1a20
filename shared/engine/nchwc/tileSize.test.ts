import { createSession } from "../session";
import { portableEngine, TILE_SIZES } from "../../testing/portableTiles";
import { tileSize } from "./tileSize";

const create = (model: Uint8Array) => createSession(model, { provider: "cpu", threads: 1 });

describe("tile size of ONNX Runtime's blocked layout", () => {
  it("is 4, 8 or 16, or undefined", async () => {
    expect([undefined, 4, 8, 16]).toContain(await tileSize(create));
  });

  it.each(TILE_SIZES)("is %d on a runtime with that tile", async (size) => {
    expect((await portableEngine(size)).tileSize).toBe(size);
  });

  it("is undefined if the operators do not exist", async () => {
    const refuse = () => Promise.reject(new Error("com.microsoft.nchwc.ReorderInput is not a registered function/op"));
    expect(await tileSize(refuse)).toBeUndefined();
  });
});
