import { readFileSync } from "node:fs";
import { until } from "../../shared/testing/until";
import { networkOnnxOf } from "./blocks";
import { startProfiler } from "./profiler";
import { defaultSettings } from "./settings";

const genotype = {
  ...{ inputHeight: 32, inputWidth: 64, classes: 5, stemChannels: 4 },
  stages: [
    { channels: 8, blocks: [{ dilation: 1, scale: 1, middleWidth: 4, outputWidth: 8 }] },
    { channels: 12, blocks: [{ dilation: 2, scale: 2, middleWidth: 12, outputWidth: 4 }] },
  ],
};

it("measures in a process that keeps the memory of freed buffers", async () => {
  const profiler = startProfiler();
  const settings = { ...defaultSettings("cpu", 1), warmupRuns: 1, timedRuns: 7 };
  const subject = { model: networkOnnxOf(genotype, 0), size: undefined, batchSizes: [1] };
  const measured = profiler.network(subject, settings, new AbortController().signal);
  const [pid] = await until(
    () => profiler.pids(),
    (pids) => pids.length > 0,
  );
  // Until the system has started the program, the child has the environment of this process. glibc ends each tunable with a zero.
  const environment = () => readFileSync(`/proc/${pid}/environ`, "utf8").replaceAll("\0", " ");
  await until(() =>
    /GLIBC_TUNABLES=glibc\.malloc\.mmap_max=0[ :]glibc\.malloc\.trim_threshold=1099511627776 /.test(environment()),
  );
  expect((await measured)[0]?.samples.seconds).toHaveLength(7);
});
