import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import * as util from "node:util";
import type { KernelBackend } from "@tensorflow/tfjs";
import { LatheError } from "../process/errors";
import { INSTALL, nativeFolder } from "./native";
import type { Provider } from "./provider";
import { tf } from "./tf";

/** The TF.js backend on libtensorflow. */
interface Loaded {
  version: string;
  usesGpu: boolean;
}

interface TensorflowOptions {
  provider: Provider;
  threads: number;
}

/** The parts of @tensorflow/tfjs-node-gpu that run without its own install step. Its main module would look for its own binding. */
interface Parts {
  NodeJSKernelBackend: new (binding: unknown, packageName: string) => KernelBackend & { isUsingGpuDevice: boolean };
}

// An import() of a native module fails where sources run without a build.
const required = createRequire(__filename);
const PACKAGE = "@tensorflow/tfjs-node-gpu";

/**
 * Registers TF.js's backend "tensorflow" and returns the engine's name, for example "tensorflow/cpu 2.12.1". Throws INVALID_ARGUMENT for
 * a provider that TensorFlow does not have, and FAILED_PRECONDITION (ENGINE_UNAVAILABLE) where it is not installed, cannot run on this
 * Node, or was asked for a GPU and finds none.
 */
export function requireTensorflow(
  options: TensorflowOptions,
  load: (options: TensorflowOptions) => Loaded = loadTensorflow,
): string {
  const { provider } = options;
  if (provider === "tensorrt")
    throw new LatheError("INVALID_ARGUMENT", `provider is tensorrt, must be cpu or cuda with engine tensorflow`);
  const { version, usesGpu } = load(options);
  if (provider === "cuda" && !usesGpu)
    throw unavailable(
      `provider cuda was asked for, but TensorFlow ${version} finds no GPU: install NVIDIA's driver, CUDA 11.8, cuDNN 8 and ` +
        `"${INSTALL.tensorflow} -- --gpu", or set the provider to cpu`,
    );
  return `tensorflow/${usesGpu ? "cuda" : "cpu"} ${version}`;
}

function loadTensorflow({ provider, threads }: TensorflowOptions): Loaded {
  const binding = join(nativeFolder("tensorflow"), "tfjs_binding.node");
  if (!existsSync(binding)) throw unavailable(`it is not installed: ${INSTALL.tensorflow}`);
  if (!("isNullOrUndefined" in util))
    throw unavailable(
      `${PACKAGE} does not run on Node ${process.version}, which lacks util.isNullOrUndefined: use Node 20 or 22`,
    );
  // libtensorflow reads these when it is loaded.
  Object.assign(process.env, {
    TF_CPP_MIN_LOG_LEVEL: "3",
    TF_NUM_INTRAOP_THREADS: String(threads),
    TF_NUM_INTEROP_THREADS: "1",
    ...(provider === "cpu" && { CUDA_VISIBLE_DEVICES: "-1" }),
  });
  try {
    const { NodeJSKernelBackend } = required(`${PACKAGE}/dist/nodejs_kernel_backend`) as Parts;
    required(`${PACKAGE}/dist/register_all_kernels`);
    const native = required(binding) as { TF_Version: string };
    const backend = new NodeJSKernelBackend(native, PACKAGE);
    tf.registerBackend("tensorflow", () => backend);
    return { version: native.TF_Version, usesGpu: backend.isUsingGpuDevice };
  } catch (error) {
    const [line] = LatheError.from(error).message.split("\n");
    throw unavailable(`${line}: run "${INSTALL.tensorflow}" again`, error);
  }
}

const unavailable = (why: string, cause?: unknown) =>
  new LatheError("FAILED_PRECONDITION", `engine tensorflow is not available here: ${why}`, {
    reason: "ENGINE_UNAVAILABLE",
    ...(cause !== undefined && { cause }),
  });
