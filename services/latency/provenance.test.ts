import { createHash } from "node:crypto";
import { CpuFigures, GpuFigures } from "../../shared/proto/lathe/v1/result";
import { deviceFigures, provenanceKey } from "./provenance";
import { UNIT_NAME } from "./unit";

const cpu = CpuFigures.fromPartial({ model: "Chip 3000", features: ["avx2"], cores: 2, mhz: 2300, maxMhz: 3800 });
const gpu = GpuFigures.fromPartial({
  model: "Card 9",
  driver: "580",
  smMhz: 1755,
  powerWatts: 300,
  powerLimitWatts: 700,
});
const readings = { runtime: "onnxruntime-node 1.2.3", cpu: () => cpu, gpu: () => gpu };
const settings = { deviceClass: "rack-4", provider: "cuda", threads: 2 } as const;
const figures = deviceFigures(settings, readings);

it("describes a GPU with the processor beside it, and a processor alone", () => {
  expect(figures).toMatchObject({ ...settings, runtime: "onnxruntime-node 1.2.3", cpu, gpu });
  expect(deviceFigures({ ...settings, provider: "cpu" }, readings)).toMatchObject({
    precision: "fp32",
    gpu: undefined,
  });
});

describe("provenanceKey", () => {
  it("is the SHA-256 of what decides the speed", () => {
    const parts = [
      ["rack-4", "cuda", "onnxruntime-node 1.2.3", figures.precision, 2, UNIT_NAME],
      ["Chip 3000", ["avx2"], 2, 0, "", "", 3800],
      ["Card 9", "580", "", "", "", 700, 0],
    ];
    expect(figures.key).toBe(createHash("sha256").update(JSON.stringify(parts)).digest("hex"));
  });

  it("stays where only the clocks, power and states of the moment differ", () => {
    const later = {
      ...figures,
      cpu: { ...cpu, mhz: 1200 },
      gpu: { ...gpu, smMhz: 210, memoryMhz: 405, powerWatts: 30, performanceState: "P8" },
    };
    expect(provenanceKey(later)).toBe(figures.key);
  });

  it("differs with every other field", () => {
    const others = [
      { ...figures, deviceClass: "rack-5" },
      { ...figures, provider: "tensorrt" },
      { ...figures, runtime: "onnxruntime-node 1.2.4" },
      { ...figures, precision: "fp16" },
      { ...figures, threads: 1 },
      ...[{ model: "Chip 4000" }, { features: [] }, { cores: 4 }, { quotaCores: 2 }, { governor: "powersave" }].map(
        (change) => ({ ...figures, cpu: { ...cpu, ...change } }),
      ),
      ...[{ turbo: "off" }, { maxMhz: 3000 }].map((change) => ({ ...figures, cpu: { ...cpu, ...change } })),
      ...[{ model: "Card 10" }, { driver: "581" }, { cuda: "13.1" }, { cudnn: "9.25" }, { sharing: "mps" }].map(
        (change) => ({ ...figures, gpu: { ...gpu, ...change } }),
      ),
      { ...figures, gpu: { ...gpu, powerLimitWatts: 350 } },
      { ...figures, gpu: undefined },
    ];
    const keys = [figures, ...others].map(provenanceKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
