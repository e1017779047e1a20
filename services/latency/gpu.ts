import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cudaLibraries } from "../../shared/engine/cuda";
import type { GpuFigures } from "../../shared/proto/lathe/v1/result";

/** Sources of the facts about a GPU. */
interface Sources {
  /** The output of nvidia-smi; "" where it does not answer. */
  smi: (args: readonly string[]) => string;
  /** "CUDA 13.0, cuDNN 9.24.0". */
  libraries: () => string;
  env: Readonly<Record<string, string | undefined>>;
  exists: (path: string) => boolean;
}

const thisMachine: Sources = {
  smi: (args) => {
    try {
      const stdio: ["ignore", "pipe", "ignore"] = ["ignore", "pipe", "ignore"];
      return execFileSync("nvidia-smi", args, { encoding: "utf8", stdio, timeout: 30_000 });
    } catch {
      // There is no driver, or an older one that lacks a field.
      return "";
    }
  },
  libraries: cudaLibraries,
  env: process.env,
  exists: existsSync,
};

const IDENTITY = ["name", "driver_version", "mig.mode.current", "compute_mode", "power.limit"] as const;
const MOMENT = ["clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "pstate"] as const;

/** The GPU on which ONNX Runtime computes, as its driver describes it. */
export function readGpu(sources: Partial<Sources> = {}): GpuFigures {
  const { smi, libraries, env, exists } = { ...thisMachine, ...sources };
  const { gpu, mig } = chosen(smi(["-L"]), env["CUDA_VISIBLE_DEVICES"]);
  const query = (fields: readonly string[]): string[] => {
    const format = ["--format=csv,noheader,nounits", `--id=${gpu}`];
    const line =
      smi([`--query-gpu=${fields.join(",")}`, ...format])
        .trim()
        .split("\n")[0] ?? "";
    return line.split(", ").map((value) => (/^\[.*\]$|^N\/A$/.test(value) ? "" : value));
  };
  // Two queries: a driver that lacks one of the fields gives no other either.
  const [model = "", driver = "", migMode, computeMode, limit] = query(IDENTITY);
  const [sm, maxSm, memory, power, performanceState = ""] = query(MOMENT);
  const loaded = libraries();
  return {
    model,
    driver,
    cuda: /CUDA ([\d.]+)/.exec(loaded)?.[1] ?? "",
    cudnn: /cuDNN ([\d.]+)/.exec(loaded)?.[1] ?? "",
    sharing: migMode === "Enabled" ? `mig ${mig}`.trim() : sharingOf(computeMode, env, exists),
    powerLimitWatts: number(limit),
    smMhz: number(sm),
    maxSmMhz: number(maxSm),
    memoryMhz: number(memory),
    powerWatts: number(power),
    performanceState,
  };
}

/** The libraries, driver and clock of a GPU in words. */
export function gpuRuntime({ cuda, cudnn, driver, smMhz, maxSmMhz }: GpuFigures): string[] {
  const libraries = [...(cuda ? [`CUDA ${cuda}`] : []), ...(cudnn ? [`cuDNN ${cudnn}`] : [])];
  return [
    ...(libraries.length > 0 ? libraries : ["CUDA and cuDNN of unknown version"]),
    ...(driver ? [`driver ${driver}`] : []),
    ...(smMhz > 0 ? [`SM clock ${smMhz} MHz of ${maxSmMhz} MHz`] : []),
  ];
}

const number = (text = ""): number => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : 0);

/**
 * The GPU of which CUDA uses the first (0 by default), and the profile of its part. `listed` is the output of nvidia-smi -L; `visible` names
 * a GPU by number or UUID, or a part of one by UUID.
 */
function chosen(listed: string, visible: string | undefined): { gpu: string; mig: string } {
  const wanted = visible?.split(",")[0] || "0";
  let gpu = "";
  for (const line of listed.split("\n")) {
    const [, index, uuid] = /^GPU (\d+): .*\(UUID: ([^)]+)\)/.exec(line) ?? [];
    if (index !== undefined) gpu = [index, uuid].includes(wanted) ? wanted : index;
    const [, profile = "", part] = /^\s+MIG (\S+)\s.*\(UUID: ([^)]+)\)/.exec(line) ?? [];
    // Without the name of a part, CUDA takes the first.
    if (part !== undefined && (part === wanted || gpu === wanted)) return { gpu, mig: profile };
  }
  return { gpu: wanted, mig: "" };
}

function sharingOf(mode: string | undefined, env: Sources["env"], exists: Sources["exists"]): string {
  const pipes = env["CUDA_MPS_PIPE_DIRECTORY"] ?? "/tmp/nvidia-mps";
  if (exists(join(pipes, "control"))) {
    const share = env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"];
    return share === undefined ? "mps" : `mps ${share} %`;
  }
  return mode === "Exclusive_Process" ? "exclusive" : "";
}
