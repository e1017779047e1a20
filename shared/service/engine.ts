import { access, constants, mkdir, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { z } from "zod";
import type { EngineOptions } from "../engine/engine";
import { supportsPrecision } from "../engine/precision";
import { requireEngine } from "../engine/require";
import { baseSchema, folder, folders, integer, oneOf, type BaseConfig } from "../process/config";
import { LatheError } from "../process/errors";
import type { Facts } from "../process/http";
import { isLoopback } from "../rpc/settings";
import { dataFolder } from "./dataFolder";

/** Settings of a service that computes networks, besides those of baseSchema. */
const engineShape = {
  /** onnxruntime: compiled graphs on ONNX Runtime. tensorflow: eager TF.js on libtensorflow. */
  LATHE_ENGINE: oneOf(["onnxruntime", "tensorflow"]).default("onnxruntime"),
  /** Execution provider of ONNX Runtime. */
  LATHE_PROVIDER: oneOf(["cpu", "cuda", "tensorrt"]).default("cpu"),
  /** Precision of convolutions and matrix products. */
  LATHE_PRECISION: oneOf(["float32", "float16", "bfloat16"]).default("float32"),
  LATHE_THREADS: integer(1, 256).default(availableParallelism()),
  /** The only folders below which data sets are opened. Without it any path of a spec is, which is refused where requests come from other machines. */
  LATHE_DATA_FOLDER: folders().optional(),
  /** Where decoded files are kept between trainings. Without it, and with none, each training decodes them. */
  LATHE_DATA_CACHE: folder().optional(),
  /** Bytes of these files at most, in MiB. */
  LATHE_DATA_CACHE_SIZE: integer(1, 2 ** 24).default(8192),
};

/** Whether the engine computes in the precision. */
const isSupported = (config: unknown): boolean => {
  const { LATHE_ENGINE, LATHE_PROVIDER, LATHE_PRECISION } = config as EngineConfig;
  return supportsPrecision(LATHE_ENGINE, LATHE_PROVIDER, LATHE_PRECISION);
};
const unsupported = () => ({
  path: ["LATHE_PRECISION"],
  error: "must be float32, or else LATHE_ENGINE onnxruntime and LATHE_PROVIDER cuda or tensorrt",
});

/** These settings alone, as a command line reads them that starts such services with its own environment. */
export const engineSettings = z.object(engineShape).refine(isSupported, unsupported());

/** Schema of such a service: these settings and its own. */
export function engineSchema<S extends z.ZodRawShape>(own: S) {
  return z
    .object({ ...baseSchema.shape, ...engineShape, ...own })
    .refine(isSupported, unsupported())
    .refine(
      (config) => {
        const { LATHE_DATA_FOLDER, LATHE_GRPC_HOST, LATHE_NATS_URL } = config as EngineConfig & BaseConfig;
        return LATHE_DATA_FOLDER !== undefined || [LATHE_GRPC_HOST, ...natsHosts(LATHE_NATS_URL)].every(isLoopback);
      },
      {
        path: ["LATHE_DATA_FOLDER"],
        error:
          "must name the folders of the data sets, or be none, where LATHE_GRPC_HOST or LATHE_NATS_URL is not loopback",
      },
    );
}

/** Hosts of the URLs of NATS: specs, and with them paths, come from there too. */
const natsHosts = (urls: string): string[] => urls.split(",").map((url) => new URL(url.trim()).hostname);

type EngineConfig = z.output<z.ZodObject<typeof engineShape>>;

export const engineOf = (config: EngineConfig): EngineOptions => ({
  engine: config.LATHE_ENGINE,
  provider: config.LATHE_PROVIDER,
  precision: config.LATHE_PRECISION,
  threads: config.LATHE_THREADS,
});

/** The permission of all users to write in a folder. */
const OTHERS_WRITE = 0o002;

/**
 * Creates the folder of decoded files where it is missing; the one above it must be there. FAILED_PRECONDITION where no file can be written in
 * it, or by everyone.
 */
export async function requireDataCache({
  LATHE_DATA_CACHE: path,
}: Pick<EngineConfig, "LATHE_DATA_CACHE">): Promise<void> {
  if (!path) return;
  try {
    await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    const found = await stat(path);
    if (!found.isDirectory()) throw new Error("it is no folder");
    if ((found.mode & OTHERS_WRITE) !== 0) throw new Error("it is open to all users");
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    const message = `LATHE_DATA_CACHE is "${path}": must be a folder in which this account can write, and not all users, or none (${why})`;
    throw new LatheError("FAILED_PRECONDITION", message, { reason: "CONFIGURATION_INVALID", cause: error });
  }
}

/** How the processes of the service read data sets. */
export function dataAccessOf(config: EngineConfig) {
  const { LATHE_DATA_FOLDER, LATHE_DATA_CACHE, LATHE_DATA_CACHE_SIZE } = config;
  const cache = LATHE_DATA_CACHE ? { folder: LATHE_DATA_CACHE, bytes: LATHE_DATA_CACHE_SIZE * 2 ** 20 } : undefined;
  return { folders: LATHE_DATA_FOLDER, cache };
}

/**
 * Checks that this machine has the configured engine (requireEngine) and can write the folder of decoded files, and returns its options. Engine
 * and data folders become facts of `/about`.
 */
export async function startEngine(config: EngineConfig, facts: Facts, memoryBytes?: number): Promise<EngineOptions> {
  const engine = { ...engineOf(config), ...(memoryBytes !== undefined && { memoryBytes }) };
  await requireDataCache(config);
  await requireEngine(engine);
  facts.engine = () => engine;
  const read = config.LATHE_DATA_FOLDER?.map(dataFolder);
  if (read) facts.dataFolders = () => Promise.all(read.map((look) => look()));
  return engine;
}
