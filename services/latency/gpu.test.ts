import { gpuRuntime, readGpu } from "./gpu";

const LIST = `GPU 0: NVIDIA H200 (UUID: GPU-0a)
GPU 1: NVIDIA A100-PCIE-40GB (UUID: GPU-1b)
  MIG 1g.5gb      Device  0: (UUID: MIG-1b-first)
  MIG 3g.20gb     Device  1: (UUID: MIG-1b-second)
`;
const H200 = "NVIDIA H200, 580.65.06, Disabled, Default, 700.00\n1755, 1980, 3201, 321.52, P0\n";
const A100 = "NVIDIA A100-PCIE-40GB, 535.161.08, Enabled, Default, 250.00\n1410, 1410, 1215, 36.02, P0\n";
const WITHOUT_SENSORS =
  "NVIDIA T4, 470.57.02, [N/A], Exclusive_Process, [Not Supported]\n[N/A], [N/A], [N/A], [N/A], P8\n";

/** Answers as nvidia-smi: the list, then the two queries of one GPU. */
const smi =
  (texts: Record<string, string>) =>
  (args: readonly string[]): string => {
    if (args[0] === "-L") return LIST;
    const id = args.find((arg) => arg.startsWith("--id="))?.slice(5) ?? "";
    const [identity = "", moment = ""] = (texts[id] ?? "").split("\n");
    return `${args[0]?.includes("clocks.sm") ? moment : identity}\n`;
  };
const sources = {
  smi: smi({ 0: H200, "GPU-0a": H200, 1: A100, "GPU-1b": A100, 2: WITHOUT_SENSORS }),
  libraries: () => "CUDA 13.0, cuDNN 9.24.0",
  env: {},
  exists: () => false,
};
const seen = (env: Record<string, string>) => readGpu({ ...sources, env });

describe("readGpu", () => {
  it("reads a whole GPU with its libraries, power and clocks", () => {
    const gpu = readGpu(sources);
    expect(gpu).toEqual({
      model: "NVIDIA H200",
      driver: "580.65.06",
      cuda: "13.0",
      cudnn: "9.24.0",
      sharing: "",
      powerLimitWatts: 700,
      smMhz: 1755,
      maxSmMhz: 1980,
      memoryMhz: 3201,
      powerWatts: 321.52,
      performanceState: "P0",
    });
    expect(gpuRuntime(gpu).join(", ")).toBe("CUDA 13.0, cuDNN 9.24.0, driver 580.65.06, SM clock 1755 MHz of 1980 MHz");
  });

  it("finds the GPU, or the part of one, that CUDA may see", () => {
    expect(seen({ CUDA_VISIBLE_DEVICES: "GPU-1b" })).toMatchObject({ driver: "535.161.08", sharing: "mig 1g.5gb" });
    expect(seen({ CUDA_VISIBLE_DEVICES: "1,0" })).toMatchObject({ driver: "535.161.08", sharing: "mig 1g.5gb" });
    expect(seen({ CUDA_VISIBLE_DEVICES: "MIG-1b-second" })).toMatchObject({
      model: "NVIDIA A100-PCIE-40GB",
      sharing: "mig 3g.20gb",
    });
  });

  it("says who shares the GPU, as far as that can be read", () => {
    expect(readGpu({ ...sources, exists: (path) => path === "/tmp/nvidia-mps/control" }).sharing).toBe("mps");
    const env = { CUDA_MPS_PIPE_DIRECTORY: "/mps", CUDA_MPS_ACTIVE_THREAD_PERCENTAGE: "50" };
    expect(readGpu({ ...sources, env, exists: (path) => path === "/mps/control" }).sharing).toBe("mps 50 %");
    expect(seen({ CUDA_VISIBLE_DEVICES: "2" })).toMatchObject({
      sharing: "exclusive",
      powerLimitWatts: 0,
      smMhz: 0,
      performanceState: "P8",
    });
  });

  it("leaves empty what no driver says", () => {
    const gpu = readGpu({ ...sources, smi: () => "", libraries: () => "" });
    expect(gpu).toMatchObject({ model: "", driver: "", cuda: "", sharing: "", smMhz: 0 });
    expect(gpuRuntime(gpu)).toEqual(["CUDA and cuDNN of unknown version"]);
  });
});
