import { availableParallelism } from "node:os";
import { availableCores, readCpu, threadsFault } from "./cpu";

/** Files as a kernel shows them, by path. */
const from = (files: Record<string, string>) => (path: string) => files[path] ?? "";

const XEON = `processor	: 0
vendor_id	: GenuineIntel
model name	: Intel(R) Xeon(R) Processor
stepping	: 2
cpu MHz		: 2299.998
flags		: fpu vme sse4_2 fma avx f16c avx2 bmi2 avx512f avx512dq avx_vnni avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8
bogomips	: 4599.99

processor	: 1
vendor_id	: GenuineIntel
model name	: Intel(R) Xeon(R) Processor
cpu MHz		: 2700.002
flags		: fpu vme sse4_2 fma avx f16c avx2
`;
const GRAVITON = `processor	: 0
BogoMIPS	: 2100.00
Features	: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimddp sve i8mm bf16
CPU implementer	: 0x41
CPU architecture: 8
CPU part	: 0xd40
`;
const status = (list: string) => `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed_list:\t0\n`;

describe("readCpu", () => {
  it("reads a virtual machine that shows no clock but that of cpuinfo", () => {
    const read = from({ "/proc/cpuinfo": XEON, "/proc/self/status": status("0-1"), "/proc/self/cgroup": "0::/\n" });
    expect(readCpu(read)).toEqual({
      model: "Intel(R) Xeon(R) Processor",
      features: "amx_bf16,amx_int8,amx_tile,avx,avx2,avx512_bf16,avx512_vnni,avx512dq,avx512f,avx_vnni,f16c,fma".split(
        ",",
      ),
      cores: 2,
      quotaCores: 0,
      governor: "",
      turbo: "",
      mhz: 2500,
      maxMhz: 0,
    });
  });

  it("reads the governor, the clocks and turbo of a machine of its own", () => {
    const cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq/";
    const files = {
      "/proc/cpuinfo": XEON,
      [`${cpufreq}scaling_governor`]: "performance\n",
      [`${cpufreq}scaling_cur_freq`]: "3100000\n",
      [`${cpufreq}cpuinfo_max_freq`]: "3800000\n",
    };
    const intel = { ...files, "/sys/devices/system/cpu/intel_pstate/no_turbo": "1\n" };
    expect(readCpu(from(intel))).toMatchObject({ governor: "performance", mhz: 3100, maxMhz: 3800, turbo: "off" });
    expect(readCpu(from({ ...files, "/sys/devices/system/cpu/cpufreq/boost": "1\n" }))).toMatchObject({ turbo: "on" });
  });

  it("reads an ARM processor, which has numbers for a name, and one of which nothing is known", () => {
    expect(readCpu(from({ "/proc/cpuinfo": GRAVITON }))).toMatchObject({
      model: "ARM implementer 0x41 part 0xd40",
      features: ["asimd", "asimddp", "asimdhp", "bf16", "fphp", "i8mm", "sve"],
      mhz: 0,
    });
    expect(readCpu(from({}))).toMatchObject({ model: "", features: [], cores: 1 });
  });

  it("reads this machine", () => {
    const { model, features, cores } = readCpu();
    expect(model).not.toBe("");
    expect(features.length).toBeGreaterThan(0);
    // Node's number has the same affinity, and a quota makes ours smaller.
    expect(cores).toBeLessThanOrEqual(availableParallelism());
  });
});

it.each([
  ["of the affinity", "0-3,8,10-11", {}, 7],
  ["within a quota of cgroup 2", "0-7", { "/sys/fs/cgroup/a/b/cpu.max": "350000 100000\n" }, 3],
  ["within the quota of a cgroup above", "0-7", { "/sys/fs/cgroup/a/cpu.max": "200000 100000\n" }, 2],
  ["of the affinity where the quota is larger", "0-1", { "/sys/fs/cgroup/a/b/cpu.max": "800000 100000\n" }, 2],
  ["without a quota", "0-1", { "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n" }, 2],
  ["at least one", "0-1", { "/sys/fs/cgroup/a/b/cpu.max": "50000 100000\n" }, 1],
  [
    "within a quota of cgroup 1",
    "0-7",
    {
      "/sys/fs/cgroup/cpu,cpuacct/kube/cpu.cfs_quota_us": "400000\n",
      "/sys/fs/cgroup/cpu,cpuacct/kube/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    },
    4,
  ],
])("counts the logical cores %s", (_name, list, files, cores) => {
  const cgroup = "5:cpu,cpuacct:/kube\n4:memory:/kube\n0::/a/b\n";
  const read = from({ "/proc/self/status": status(list), "/proc/self/cgroup": cgroup, ...files });
  expect(availableCores(read)).toBe(cores);
});

it("says the bound of threads", () => {
  expect(threadsFault(2, 2)).toBeUndefined();
  expect(threadsFault(64, 2)).toBe("is 64, must be at most 2, the logical cores of the device");
  expect(threadsFault(2, 1)).toBe("is 2, must be at most 1, the logical core of the device");
});
