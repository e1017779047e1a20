import { execFileSync } from "node:child_process";

/** Facts that NVIDIA's driver reports of device 0, by name. */
export function deviceFacts(): Record<string, string> {
  const fields = {
    device: "name",
    driver: "driver_version",
    "compute capability": "compute_cap",
    "memory, total": "memory.total",
    "memory, free": "memory.free",
    "clock, SM": "clocks.sm",
    "clock, SM, highest": "clocks.max.sm",
    "clock, memory": "clocks.mem",
    "performance state": "pstate",
    MIG: "mig.mode.current",
  };
  const line = smi(`--query-gpu=${Object.values(fields).join(",")}`);
  if (line === undefined) return {};
  const values = line.split(", ");
  return Object.fromEntries(Object.keys(fields).map((name, at) => [name, values[at] ?? ""]));
}

/** Memory of device 0 that is in use, in MiB; undefined without NVIDIA's driver. */
export function usedMebibytes(): number | undefined {
  const line = smi("--query-gpu=memory.used", ",nounits");
  return line === undefined ? undefined : Number(line);
}

function smi(query: string, format = ""): string | undefined {
  try {
    const stdio: ("ignore" | "pipe")[] = ["ignore", "pipe", "ignore"];
    const text = execFileSync("nvidia-smi", [query, `--format=csv,noheader${format}`, "--id=0"], { stdio });
    return text.toString().trim().split("\n")[0];
  } catch {
    // No driver, or an older one that lacks a field.
    return undefined;
  }
}
