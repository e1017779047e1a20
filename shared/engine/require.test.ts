import { existsSync } from "node:fs";
import { nativeFolder } from "./native";
import { requireEngine } from "./require";

const threads = 1;

describe("requireEngine", () => {
  it("accepts the engine that npm installs without a try", async () => {
    await expect(requireEngine({ engine: "onnxruntime", provider: "cpu", threads })).resolves.toBeUndefined();
  });

  it("refuses CUDA in one line, with the library that is missing and what mends it", async () => {
    await expect(requireEngine({ engine: "onnxruntime", provider: "cuda", threads })).rejects.toMatchObject(
      unavailable(/^engine onnxruntime\/cuda is not available here: [^\n]+, or set the provider to cpu$/),
    );
  });

  it("refuses TensorFlow in one line where it is not installed, and accepts it where it is", async () => {
    const asked = requireEngine({ engine: "tensorflow", provider: "cpu", threads });
    if (existsSync(nativeFolder("tensorflow"))) return expect(asked).resolves.toBeUndefined();
    await expect(asked).rejects.toMatchObject(
      unavailable(/^engine tensorflow is not available here: it is not installed: npm run tensorflow:install$/),
    );
  });
});

const unavailable = (message: RegExp) => ({
  code: "FAILED_PRECONDITION",
  reason: "ENGINE_UNAVAILABLE",
  message: expect.stringMatching(message) as string,
});
