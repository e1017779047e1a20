import { createSession } from "../session";
import { tileSize } from "./blockSize";

const create = (model: Uint8Array) => createSession(model, { provider: "cpu", threads: 1 });

describe("the block of ONNX Runtime's blocked layout", () => {
  it("is a power of two that this machine's CPU provider packs", async () => {
    expect([4, 8, 16]).toContain(await tileSize(create));
  });

  it("is absent where the operators do not exist", async () => {
    const refuse = () => Promise.reject(new Error("com.microsoft.nchwc.ReorderInput is not a registered function/op"));
    expect(await tileSize(refuse)).toBeUndefined();
  });
});
