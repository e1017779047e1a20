import { execFileSync } from "node:child_process";

/**
 * The values that NVIDIA's driver gives for fields of the GPU on which ONNX Runtime computes, for example "memory.free", without their units.
 * Undefined where it does not answer: there is no driver, or an older one that lacks a field.
 */
export function askDriver(fields: readonly string[], units = false): string[] | undefined {
  const format = `--format=csv,noheader${units ? "" : ",nounits"}`;
  // The first of those that CUDA may see; computingEnvironment has CUDA count as nvidia-smi does.
  const device = process.env.CUDA_VISIBLE_DEVICES?.split(",")[0] || "0";
  try {
    const text = execFileSync("nvidia-smi", [`--query-gpu=${fields.join(",")}`, format, `--id=${device}`], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 30_000,
    });
    return text.trim().split("\n")[0]?.split(", ");
  } catch {
    return undefined;
  }
}

/** Free memory of the GPU in bytes; undefined where the driver does not say, for example of a part of a GPU (MIG). */
export function freeDeviceBytes(ask = askDriver): number | undefined {
  const [mebibytes = ""] = ask(["memory.free"]) ?? [];
  return /^\d+$/.test(mebibytes) ? Number(mebibytes) * 2 ** 20 : undefined;
}
