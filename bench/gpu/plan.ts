import type { Provider } from "../../shared/engine/engine";
import type { GpuJob } from "./worker";

/** A check, and how long it takes on an H100 by estimate, in seconds. */
export interface Planned {
  name: string;
  seconds: number;
  job: GpuJob;
}

const NETWORKS = ["paper", "erfnet"] as const;
const INPUTS: readonly [number, number][] = [
  [512, 1024],
  [1024, 2048],
];

/** The checks in order of what they are worth. */
export function plan(provider: Provider, threads: number): Planned[] {
  const setting = { provider, threads };
  const precisions = provider === "cpu" ? (["float32"] as const) : (["float32", "float16", "bfloat16"] as const);
  const tiny = { preset: "tiny" };
  const camvid = {
    ...{ preset: "small", dataset: { kind: "streets", trainExamples: 367, validationExamples: 101 } },
    ...{ training: { epochs: 6, warmupEpochs: 1 }, shrinking: { firstEpoch: 2 }, retraining: { epochs: 6 } },
  };
  return [
    { name: "operators", seconds: 30, job: { name: "operators", setting } },
    ...precisions.map((precision): Planned => ({
      ...{ name: `step S against the CPU, ${precision}`, seconds: 15 },
      job: { name: "agreement", setting: { ...setting, precision } },
    })),
    ...(["S", "L"] as const).flatMap((size) =>
      precisions.map((precision): Planned => ({
        ...{ name: `step ${size}, ${precision}`, seconds: 15 },
        job: { name: "stepTimes", setting: { ...setting, precision, size, pairs: 20 } },
      })),
    ),
    // Its memory exceeds that of most machines without a GPU.
    ...(provider === "cpu" ? [] : precisions).map((precision): Planned => ({
      ...{ name: `step of preset paper, ${precision}`, seconds: 40 },
      job: { name: "stepTimes", setting: { ...setting, precision, size: "paper", pairs: 5 } },
    })),
    ...NETWORKS.flatMap((network) =>
      INPUTS.map((input): Planned => ({
        ...{ name: `latency of ${network} at ${input.join("x")}`, seconds: 15 },
        job: { name: "latencies", setting: { ...setting, network, input } },
      })),
    ),
    {
      ...{ name: "quickstart, twice", seconds: 90 },
      job: { name: "searchTwice", setting: { ...setting, name: "quickstart", spec: tiny } },
    },
    {
      ...{ name: "search of CamVid's shape, twice", seconds: 90 },
      job: { name: "searchTwice", setting: { ...setting, name: "CamVid's shape", spec: camvid } },
    },
  ];
}
