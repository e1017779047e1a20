import type { InferenceSession } from "onnxruntime-node";
import type { Provider } from "./provider";
import { sessionStep } from "./session";

/** The error of a step whose session fails with these words. */
function failed(provider: Provider, words: string): Promise<unknown> {
  const session = { run: () => Promise.reject(new Error(words)) } as unknown as InferenceSession;
  return sessionStep(session, 1, {}, [], provider)
    .run({})
    .catch((error: unknown) => error);
}

const arena = "BFCArena::AllocateRawInternal(size_t, bool, Stream*)";
const node = "Non-zero status code returned while running Conv node. Name:'stage1/Conv_7' Status Message: ";

describe("a session that gets no memory", () => {
  it.each([
    [`${node}${arena} Failed to allocate memory for requested buffer of size 2097152`, "2 MiB more memory of the GPU:"],
    [
      `${node}${arena} Available memory of 1024 is smaller than requested bytes of 3145728`,
      "3 MiB more memory of the GPU:",
    ],
    [`${node}CUDA failure 2: out of memory ; GPU=0 ; hostname=node ;`, "memory of the GPU:"],
    [`${node}CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ;`, "memory of the GPU:"],
  ])("on a GPU fails with MEMORY_EXCEEDED: %s", async (words, what) => {
    expect(await failed("cuda", words)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "MEMORY_EXCEEDED",
      message: `a step (node stage1/Conv_7) did not get ${what} lower the batch size or the input size, or end what else runs on the GPU (nvidia-smi)`,
    });
  });

  it.each([
    ["cpu", `${arena} Failed to allocate memory for requested buffer of size 2097152`, "2 MiB more memory"],
    ["cuda", "std::bad_alloc", "memory"],
  ] as const)("in the memory of the process says so (%s)", async (provider, words, what) => {
    expect(await failed(provider, words)).toMatchObject({
      reason: "MEMORY_EXCEEDED",
      message: expect.stringMatching(
        `^a step did not get ${what}, the process has [\\d.]+ [MG]iB: .* give the process more`,
      ) as string,
    });
  });

  it("is told from other faults", async () => {
    const words = "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ;";
    expect(await failed("cuda", words)).toEqual(new Error(words));
  });
});
