import { listSupportedBackends } from "onnxruntime-node";
import { onnxRuntimeVersion, requireProvider } from "../../shared/engine/session";
import { readCpu } from "./cpu";
import type { Machine } from "./devices";
import { readGpu } from "./gpu";
import { deviceFigures } from "./provenance";

export const thisMachine: Machine = {
  providers: () => listSupportedBackends().map(({ name }) => name),
  require: (provider) => requireProvider({ provider, threads: 1 }),
  figures: (settings) =>
    deviceFigures(settings, {
      runtime: `onnxruntime-node ${onnxRuntimeVersion()}`,
      cpu: () => readCpu(),
      gpu: () => readGpu(),
    }),
};
