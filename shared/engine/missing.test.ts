import { causeOf, type Libraries } from "./missing";

/** A machine that has the provider and lacks these libraries. */
const lacking = (...lacks: string[]): Libraries => ({
  has: () => true,
  missing: (library) => lacks.find((name) => name === library),
});

describe("the cause of a provider's refusal", () => {
  const fault = "OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library";

  it.each([
    ["a library", lacking("libcublas.so.13"), "libcublas.so.13 is missing (npm run cuda:install)"],
    ["the driver", lacking("libcuda.so.1"), "libcuda.so.1 is missing: no NVIDIA driver (version 580 or newer)"],
    [
      "both",
      lacking("libcublas.so.13", "libcudnn.so.9", "libcuda.so.1"),
      "libcublas.so.13, libcudnn.so.9 are missing (npm run cuda:install); libcuda.so.1 is missing: no NVIDIA driver (version 580 or newer)",
    ],
    [
      "the provider",
      { ...lacking("libcublas.so.13"), has: () => false },
      "the CUDA provider is not installed (npm run cuda:install)",
    ],
  ])("is %s that is missing", (_what, libraries, cause) => expect(causeOf("cuda", fault, libraries)).toBe(cause));

  it("names the libraries of TensorRT only where TensorRT was asked for", () => {
    const libraries = lacking("libnvinfer.so.10");
    expect(causeOf("tensorrt", fault, libraries)).toBe("libnvinfer.so.10 is missing (TensorRT 10 for CUDA 13)");
    expect(causeOf("cuda", fault, libraries)).toBe(fault);
  });

  it.each([
    [
      "/src/cuda_call.cc:154 CudaCall(ERRTYPE) CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=vm ;\n\n",
      "no CUDA-capable device is detected (nvidia-smi must list a GPU, and a container must be started with it)",
    ],
    [
      "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=0 ;",
      "CUDA driver version is insufficient for CUDA runtime version (CUDA 13 needs NVIDIA's driver 580 or newer)",
    ],
    ["no kernel for Conv\nand more", "no kernel for Conv"],
  ])("is in one line what ONNX Runtime says: %p", (said, cause) =>
    expect(causeOf("cuda", said, lacking())).toBe(cause),
  );
});
