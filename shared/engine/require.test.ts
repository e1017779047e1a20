import { requireEngine } from "./require";

const threads = 1;

describe("requireEngine", () => {
  it("accepts the engine that npm installs without a try", async () => {
    await expect(requireEngine({ engine: "onnxruntime", provider: "cpu", threads })).resolves.toBeUndefined();
  });

  it.each([
    [
      "the tensorflow engine",
      { engine: "tensorflow", provider: "cpu", threads },
      /^engine tensorflow is not available/,
    ],
    ["CUDA", { engine: "onnxruntime", provider: "cuda", threads }, /^engine onnxruntime\/cuda is not available/],
  ] as const)("is refused in one line where %s is missing", async (_what, options, message) => {
    await expect(requireEngine(options)).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "ENGINE_UNAVAILABLE",
      message: expect.stringMatching(message) as string,
    });
  });
});
