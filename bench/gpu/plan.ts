import type { Provider } from "../../shared/engine/engine";
import type { Mode } from "../pytorch";
import type { TorchSetting } from "./torch";
import type { GpuJob } from "./worker";

/** A check, and how long it takes on an H100 by estimate, in seconds. */
interface Planned {
  name: string;
  seconds: number;
  job: GpuJob;
}

const NETWORKS = ["paper", "erfnet"] as const;
const INPUTS: readonly [number, number][] = [
  [512, 1024],
  [1024, 2048],
];

/** The steps of a size in PyTorch: one check for all that runs at once, and one for each precision that torch.compile compiles first. */
function pytorch(provider: Provider, size: TorchSetting["size"], at: { threads: number; endsAt: number }) {
  const device = provider === "cpu" ? "cpu" : "cuda";
  const precisions = device === "cpu" ? (["float32"] as const) : (["float32", "tf32", "bfloat16"] as const);
  const job = (pairs: number, modes: Mode[]): GpuJob => ({
    ...{ name: "pytorchSteps", setting: { ...at, size, modes, pairs } },
  });
  const pairs = device === "cpu" || size === "paper" ? 5 : 20;
  const eager = (["contiguous", "channels_last"] as const).flatMap((layout) =>
    precisions.map((precision): Mode => ({ device, precision, layout, compiled: false, frozen: true })),
  );
  const compiled = (precision: Mode["precision"]): Mode => ({
    device,
    precision,
    layout: "contiguous",
    compiled: true,
    frozen: true,
  });
  return {
    eager: { name: `PyTorch, step ${size}`, seconds: size === "paper" ? 40 : 20, job: job(pairs, eager) },
    // On a CPU the installed PyTorch may be one without torch.compile.
    compiled: (device === "cpu" ? [] : precisions).map((precision) => ({
      ...{ name: `PyTorch compiled, step ${size}, ${precision}`, seconds: size === "paper" ? 90 : 40 },
      job: job(pairs, [compiled(precision)]),
    })),
  };
}

/**
 * The checks in order of what they are worth. PyTorch's are ended at `endsAt`, in ms of Date.now(), because torch.compile takes minutes for
 * large networks.
 */
export function plan(provider: Provider, threads: number, endsAt: number): Planned[] {
  const setting = { provider, threads };
  const precisions = provider === "cpu" ? (["float32"] as const) : (["float32", "float16", "bfloat16"] as const);
  // Its memory exceeds that of most machines without a GPU.
  const sizes = provider === "cpu" ? (["S", "L"] as const) : (["S", "L", "paper"] as const);
  const theirs = sizes.map((size) => pytorch(provider, size, { threads, endsAt }));
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
    ...(provider === "cpu" ? [] : precisions).map((precision): Planned => ({
      ...{ name: `step of preset paper, ${precision}`, seconds: 40 },
      job: { name: "stepTimes", setting: { ...setting, precision, size: "paper", pairs: 5 } },
    })),
    ...theirs.map(({ eager }) => eager),
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
    ...theirs.flatMap(({ compiled }) => compiled),
  ];
}
