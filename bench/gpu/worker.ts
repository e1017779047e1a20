import { requireProvider } from "../../shared/engine/session";
import { serveWorker } from "../../shared/process/worker";
import { finding, type Finding, type Setting } from "./finding";
import { latencies } from "./networks";
import { operators } from "./operators";
import { searchTwice } from "./searches";
import { agreement, stepTimes } from "./steps";
import { pytorchSteps } from "./torch";

const JOBS = {
  provider: async (setting: Setting) => {
    await requireProvider(setting);
    return finding([], `ONNX Runtime runs a convolution on ${setting.provider}`);
  },
  operators,
  agreement,
  stepTimes,
  pytorchSteps,
  latencies,
  searchTwice,
};

type Jobs = typeof JOBS;
/** A check of verify:gpu: the name of its function and its argument. */
export type GpuJob = { [Name in keyof Jobs]: { name: Name; setting: Parameters<Jobs[Name]>[0] } }[keyof Jobs];

serveWorker<GpuJob, never, Finding, void>(({ name, setting }) => JOBS[name](setting as never));
