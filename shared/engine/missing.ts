import { existsSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../process/errors";
import { INSTALL, nativeFolder } from "./native";
import type { Precision } from "./precision";
import type { Provider } from "./provider";

/** Libraries that a provider loads, apart from the driver's; those of TensorRT are not in native/cuda. */
const CUDA = ["libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudart.so.13", "libcudnn.so.9"];
const TENSORRT = ["libnvinfer.so.10", "libnvonnxparser.so.10"];
const DRIVER = "libcuda.so.1";

interface Asked {
  provider: Provider;
  precision?: Precision;
}

/** The libraries of a machine; tests replace them. */
export interface Libraries {
  /** Whether native/cuda has the provider. */
  has(provider: Provider): boolean;
  /** The name of the library that the system misses when it loads this one; undefined if it loads. */
  missing(library: string): string | undefined;
}

const thisMachine: Libraries = {
  has: (provider) => existsSync(join(nativeFolder("cuda"), `libonnxruntime_providers_${provider}.so`)),
  missing: (library) => {
    try {
      process.dlopen({ exports: {} }, library);
    } catch (error) {
      // Node refuses every library that is not an addon, after it has loaded it.
      return /(lib[^/:\s]+): cannot open shared object file/.exec((error as Error).message)?.[1];
    }
  },
};

/** The libraries that a provider misses on this machine, each with what mends it; empty if all load. */
function lacks(provider: Provider, libraries: Libraries): string[] {
  const tried = (names: readonly string[]) => [...new Set(names.flatMap((name) => libraries.missing(name) ?? []))];
  const ours = libraries.has(provider) ? tried(CUDA).filter((name) => name !== DRIVER) : undefined;
  const tensorrt = provider === "tensorrt" ? tried(TENSORRT).filter((name) => TENSORRT.includes(name)) : [];
  return [
    ...(ours === undefined ? [`the CUDA provider is not installed (${INSTALL.cuda})`] : []),
    ...(ours?.length ? [`${ours.join(", ")} ${isOrAre(ours)} missing (${INSTALL.cuda})`] : []),
    ...(tensorrt.length > 0 ? [`${tensorrt.join(", ")} ${isOrAre(tensorrt)} missing (TensorRT 10 for CUDA 13)`] : []),
    ...(libraries.missing(DRIVER) ? [`${DRIVER} is missing: no NVIDIA driver (version 580 or newer)`] : []),
  ];
}

/**
 * Why a provider of ONNX Runtime cannot be used, and what mends it, in one line: the libraries that are missing, which ONNX Runtime's own
 * exception does not name, or else its fault. Undefined without a fault where all libraries load.
 */
export function causeOf(provider: Provider, fault?: string, libraries: Libraries = thisMachine): string | undefined {
  const causes = lacks(provider, libraries);
  return causes.length > 0 ? causes.join("; ") : fault && told(fault);
}

/** The refusal of a provider, with its cause. */
export function unavailable({ provider, precision = "float32" }: Asked, why: string, cause?: unknown): LatheError {
  const lower = precision === "float32" ? "" : `, or the precision to float32, which is ${precision}`;
  const message = `engine onnxruntime/${provider} is not available here: ${why}, or set the provider to cpu${lower}`;
  return new LatheError("FAILED_PRECONDITION", message, {
    reason: "ENGINE_UNAVAILABLE",
    ...(cause !== undefined && { cause }),
  });
}

const isOrAre = ({ length }: readonly string[]) => (length === 1 ? "is" : "are");

/** Faults of CUDA by their words, and what mends them. */
const MENDS: readonly (readonly [RegExp, string])[] = [
  [/no CUDA-capable device/, "nvidia-smi must list a GPU, and a container must be started with it"],
  [/driver version is insufficient/, "CUDA 13 needs NVIDIA's driver 580 or newer"],
  [/out of memory/i, "another process holds the memory of the GPU: nvidia-smi names it"],
];

/** The fault without the place in ONNX Runtime's sources. */
function told(fault: string): string {
  const [, words] = /CUDA failure \d+: ([^;\n]+?)\s*;/.exec(fault) ?? [];
  const [line = ""] = fault.trim().split("\n");
  const [, mend] = MENDS.find(([pattern]) => pattern.test(fault)) ?? [];
  return `${words ?? line.trim()}${mend ? ` (${mend})` : ""}`;
}
