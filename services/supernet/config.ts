import { availableParallelism } from "node:os";
import { z } from "zod";
import { supportsPrecision } from "../../shared/engine/precision";
import { baseConfig, duration, integer, oneOf, text } from "../../shared/process/config";

/** Settings of the supernet service. */
export const schema = z
  .object({
    ...baseConfig,
    /** What trains: compiled graphs on ONNX Runtime, or TF.js eager on libtensorflow. */
    LATHE_ENGINE: oneOf(["onnxruntime", "tensorflow"]).default("onnxruntime"),
    /** Execution provider of ONNX Runtime. */
    LATHE_PROVIDER: oneOf(["cpu", "cuda", "tensorrt"]).default("cpu"),
    /** Of convolutions and matrix products. */
    LATHE_PRECISION: oneOf(["float32", "float16", "bfloat16"]).default("float32"),
    /** Where data sets are mounted; told to an operator, a spec names its own path. */
    LATHE_DATA_FOLDER: text("a path").optional(),
    LATHE_THREADS: integer(1, 256).default(availableParallelism()),
    /** Mebibytes that the steps of a training may hold, of the machine or, on another provider than cpu, of its device; 0: the machine's memory, on a device no bound. */
    LATHE_TRAINING_MEMORY: integer(0, 2 ** 24).default(0),
    /** Silence after which a worker is taken for dead and its work goes to another. */
    LATHE_LEASE: duration(1_000, 3_600_000).default(60_000),
    /** Work items after which the process ends, also where none comes for longer than the lease; 0: it stays. For a Job of Kubernetes. */
    LATHE_JOBS: integer(0, 1000).default(0),
  })
  .refine((config) => supportsPrecision(config.LATHE_ENGINE, config.LATHE_PROVIDER, config.LATHE_PRECISION), {
    path: ["LATHE_PRECISION"],
    error: "must be float32, or else LATHE_ENGINE onnxruntime and LATHE_PROVIDER cuda or tensorrt",
  });
