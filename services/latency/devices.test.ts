import { LatheError } from "../../shared/process/errors";
import { deviceName, listDevices, requireDevice, type Machine } from "./devices";
import { thisMachine } from "./machine";

const machine = (providers: string[], failing: Record<string, Error> = {}): Machine => ({
  providers: () => providers,
  require: (provider) => (failing[provider] ? Promise.reject(failing[provider]) : Promise.resolve()),
  cpuModels: () => ["Chip 3000", "Chip 3000"],
  gpuModels: () => ["Card 9", "Card 9b"],
});

describe("listDevices", () => {
  it("names what can be measured", async () => {
    expect(await listDevices(machine(["cpu", "cuda", "tensorrt"]))).toEqual([
      {
        deviceClass: "cpu",
        name: "Chip 3000, 2 logical cores",
        provider: "CPUExecutionProvider",
        available: true,
        reason: "",
      },
      { deviceClass: "cuda", name: "Card 9", provider: "CUDAExecutionProvider", available: true, reason: "" },
      { deviceClass: "tensorrt", name: "Card 9", provider: "TensorrtExecutionProvider", available: true, reason: "" },
    ]);
  });

  it("gives the reason for the others: not in the build, or no session can be created", async () => {
    const missing = new LatheError("FAILED_PRECONDITION", "engine onnxruntime/cuda is not available here: no driver");
    const [cpu, cuda, tensorrt] = await listDevices(machine(["cpu", "cuda"], { cuda: missing }));
    expect(cpu).toMatchObject({ available: true });
    expect(cuda).toMatchObject({
      available: false,
      name: "",
      reason: "engine onnxruntime/cuda is not available here: no driver",
    });
    expect(tensorrt).toMatchObject({
      available: false,
      reason: "this build of ONNX Runtime has no provider tensorrt, only cpu, cuda",
    });
  });

  it("finds at least the CPU of the machine that runs this", async () => {
    const [cpu] = await listDevices(thisMachine);
    expect(cpu).toMatchObject({ deviceClass: "cpu", available: true, provider: "CPUExecutionProvider" });
    expect(cpu?.name).toMatch(/, \d+ logical cores?$/);
  });
});

it("has a name for a device whose driver reports none", () => {
  const silent = { ...machine([]), cpuModels: () => [""], gpuModels: () => [] };
  expect(deviceName("cpu", silent)).toBe("CPU of unknown model, 1 logical core");
  expect(deviceName("cuda", silent)).toBe("NVIDIA GPU of unknown model");
});

it("refuses to start on a device that is not there", async () => {
  const devices = await listDevices(machine(["cpu"]));
  expect(() => requireDevice(devices, "cpu")).not.toThrow();
  expect(() => requireDevice(devices, "cuda")).toThrow("device class cuda is not available here: this build");
});
