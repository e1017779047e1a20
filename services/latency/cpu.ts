import { readFileSync } from "node:fs";
import type { CpuFigures } from "../../shared/proto/lathe/v1/result";

/** The text of a file of the kernel; "" where it cannot be read. */
type Read = (path: string) => string;

export const readText: Read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Virtual machines and containers lack many of these files.
    return "";
  }
};

/** Flags of x86 and ARM that change the kernels of a network. Others say nothing about its speed. */
const FEATURES =
  /^(avx|avx2|fma|f16c|avx512\w*|avx_\w+|avx10\w*|amx_\w+|neon|asimd\w*|sve\w*|sme\w*|i8mm|bf16|fphp|svei8mm|svebf16)$/;

/** The processor as the kernel describes it. */
export function readCpu(read: Read = readText): CpuFigures {
  const info = read("/proc/cpuinfo");
  const cpufreq = (name: string) => read(`/sys/devices/system/cpu/cpu0/cpufreq/${name}`).trim();
  const current = kilohertz(cpufreq("scaling_cur_freq"));
  return {
    model: modelOf(info),
    features: featuresOf(info),
    cores: availableCores(read),
    quotaCores: quotaOf(read),
    governor: cpufreq("scaling_governor"),
    turbo: turboOf(read),
    mhz: current || meanMegahertz(info),
    maxMhz: kilohertz(cpufreq("cpuinfo_max_freq")),
  };
}

/** Logical cores that this process may use: those of its affinity, at most the whole cores of the cgroup's quota, at least 1. */
export function availableCores(read: Read = readText): number {
  const allowed = listLength(/^Cpus_allowed_list:\s*(\S+)/m.exec(read("/proc/self/status"))?.[1] ?? "");
  const online = allowed || listLength(read("/sys/devices/system/cpu/online").trim()) || 1;
  const quota = quotaOf(read);
  return Math.max(1, quota === 0 ? online : Math.min(online, Math.floor(quota)));
}

/** The fault of more threads than cores, in words; undefined where there is none. */
export function threadsFault(threads: number, cores: number): string | undefined {
  if (threads <= cores) return undefined;
  return `is ${threads}, must be at most ${cores}, the logical ${cores === 1 ? "core" : "cores"} of the device`;
}

function modelOf(info: string): string {
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.+)$`, "m").exec(info)?.[1]?.trim() ?? "";
  const named = field("model name") || field("Model");
  if (named !== "") return named;
  const [implementer, part] = [field("CPU implementer"), field("CPU part")];
  return part === "" ? "" : `ARM implementer ${implementer} part ${part}`;
}

function featuresOf(info: string): string[] {
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1] ?? "";
  return [...new Set(flags.split(/\s+/).filter((flag) => FEATURES.test(flag)))].sort();
}

function meanMegahertz(info: string): number {
  const clocks = [...info.matchAll(/^cpu MHz\s*:\s*([\d.]+)$/gm)].map(([, value]) => Number(value));
  return clocks.length === 0 ? 0 : clocks.reduce((sum, value) => sum + value, 0) / clocks.length;
}

const kilohertz = (text: string): number => (/^\d+$/.test(text) ? Number(text) / 1000 : 0);

function turboOf(read: Read): string {
  const off = read("/sys/devices/system/cpu/intel_pstate/no_turbo").trim();
  if (off !== "") return off === "1" ? "off" : "on";
  const boost = read("/sys/devices/system/cpu/cpufreq/boost").trim();
  if (boost !== "") return boost === "1" ? "on" : "off";
  return "";
}

/** Length of a list such as "0-3,8"; 0 where it is none. */
function listLength(list: string): number {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) return 0;
  return list.split(",").reduce((sum, range) => {
    const [from = 0, to = from] = range.split("-").map(Number);
    return sum + to - from + 1;
  }, 0);
}

/** The smallest quota of the process's cgroups and of those above them, in cores; 0 where none has one. */
function quotaOf(read: Read): number {
  const quotas = [...read("/proc/self/cgroup").matchAll(/^\d+:([^:]*):(\/.*)$/gm)].flatMap(
    ([, names = "", path = ""]) => {
      if (names === "") return parents(path).map((at) => share(read(`/sys/fs/cgroup${at}cpu.max`)));
      if (!names.split(",").includes("cpu")) return [];
      return parents(path).map((at) => {
        const folder = `/sys/fs/cgroup/${names}${at}`;
        return share(`${read(`${folder}cpu.cfs_quota_us`).trim()} ${read(`${folder}cpu.cfs_period_us`)}`);
      });
    },
  );
  const limits = quotas.filter((quota) => quota > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}

/** "/a/b/", "/a/" and "/" of "/a/b". */
function parents(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return Array.from({ length: parts.length + 1 }, (_, up) => {
    const kept = parts.slice(0, parts.length - up);
    return kept.length === 0 ? "/" : `/${kept.join("/")}/`;
  });
}

/** "150000 100000" (quota and period in microseconds) as cores; 0 for "max" and for -1, which set no limit. */
function share(text: string): number {
  const [, quota, period] = /^(\d+) (\d+)$/.exec(text.trim()) ?? [];
  return quota === undefined || Number(period) === 0 ? 0 : Number(quota) / Number(period);
}
