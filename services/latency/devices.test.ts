import { LatheError } from "../../shared/process/errors";
import { CpuFigures, DeviceFigures, GpuFigures } from "../../shared/proto/lathe/v1/result";
import { deviceName, listDevices, requireDevice, servedDevice, type Machine } from "./devices";
import { thisMachine } from "./machine";

const figures: Machine["figures"] = ({ deviceClass, provider, threads }) =>
  DeviceFigures.fromPartial({
    deviceClass,
    provider,
    threads,
    cpu: { model: "Chip 3000", cores: 2 },
    ...(provider !== "cpu" && { gpu: { model: "Card 9" } }),
  });
const machine = (providers: string[], failing: Record<string, Error> = {}): Machine => ({
  providers: () => providers,
  require: (provider) => (failing[provider] ? Promise.reject(failing[provider]) : Promise.resolve()),
  figures,
});
const cpu = servedDevice("cpu", undefined);

describe("listDevices", () => {
  it("names what can be measured, the worker's own by the name of its class", async () => {
    const of = (deviceClass: string, provider: "cpu" | "cuda" | "tensorrt") => ({
      deviceClass,
      available: true,
      reason: "",
      figures: figures({ deviceClass, provider, threads: 2 }),
    });
    const served = servedDevice("rack-4", "cuda");
    expect(await listDevices(machine(["cpu", "cuda", "tensorrt"]), served, 2)).toEqual([
      { name: "Chip 3000, 2 logical cores", provider: "CPUExecutionProvider", ...of("cpu", "cpu") },
      { name: "Card 9", provider: "CUDAExecutionProvider", ...of("rack-4", "cuda") },
      { name: "Card 9", provider: "TensorrtExecutionProvider", ...of("tensorrt", "tensorrt") },
    ]);
  });

  it("gives the reason for the others: not in the build, or no session can be created", async () => {
    const missing = new LatheError("FAILED_PRECONDITION", "engine onnxruntime/cuda is not available here: no driver");
    const [first, cuda, tensorrt] = await listDevices(machine(["cpu", "cuda"], { cuda: missing }), cpu, 1);
    expect(first).toMatchObject({ available: true });
    expect(cuda).toMatchObject({
      available: false,
      name: "",
      reason: "engine onnxruntime/cuda is not available here: no driver",
      figures: undefined,
    });
    expect(tensorrt).toMatchObject({
      available: false,
      reason: "this build of ONNX Runtime has no provider tensorrt, only cpu, cuda",
    });
  });

  it("finds at least the CPU of the machine that runs this", async () => {
    const [first] = await listDevices(thisMachine, cpu, 1);
    expect(first).toMatchObject({ deviceClass: "cpu", available: true, provider: "CPUExecutionProvider" });
    expect(first?.name).toMatch(/, \d+ logical cores?$/);
    expect(first?.figures).toMatchObject({
      provider: "cpu",
      precision: "fp32",
      threads: 1,
      key: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
  });
});

it("names a class by its provider, and finds the provider of a class that is named like one", () => {
  const served = (...args: Parameters<typeof servedDevice>) => Object.values(servedDevice(...args)).join(" on ");
  expect(served(undefined, undefined)).toBe("cpu on cpu");
  expect(served(undefined, "cuda")).toBe("cuda on cuda");
  expect(served("tensorrt", undefined)).toBe("tensorrt on tensorrt");
  expect(served("rack-4", undefined)).toBe("rack-4 on cpu");
  expect(served("rack-4", "tensorrt")).toBe("rack-4 on tensorrt");
});

it("has a name for a device whose driver reports none", () => {
  const silent = CpuFigures.fromPartial({ cores: 1 });
  expect(deviceName({ cpu: silent, gpu: undefined })).toBe("CPU of unknown model, 1 logical core");
  expect(deviceName({ cpu: silent, gpu: GpuFigures.fromPartial({}) })).toBe("NVIDIA GPU of unknown model");
});

it("refuses to start on a device that is not there", async () => {
  const devices = await listDevices(machine(["cpu"]), servedDevice("rack-4", "cuda"), 1);
  expect(requireDevice(devices, cpu).cpu?.cores).toBe(2);
  expect(() => requireDevice(devices, servedDevice("rack-4", "cuda"))).toThrow(
    "device class rack-4 is not available here: this build",
  );
});
